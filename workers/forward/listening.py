"""Posting events to a developer's machine: in order, one at a time, and waiting while nobody listens there.

The store does not know of it: there is no group, no retry schedule and no dead letter that could be left behind, and
nothing that retention would have to wait for.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from router.cloudevents import InvalidCloudEvent
from router.events.event import Event
from router.tasks.backoff import Backoff
from workers.delivery import Delivery
from workers.forward.answer import answer_text
from workers.forward.message import Message, message
from workers.outgoing import Exchange, Outgoing, TimedOut, Unreachable, signed

__all__ = ["NAME", "Posted", "Poster"]

NAME = "listen"
"""What receivers read as the subscription."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of one event: the status that was answered, or why there was no answer. seconds: how long it took."""

    status: int | None
    answer: str
    seconds: float | None
    error: str = ""


class Poster:
    """Posts events to one target, signed.

    away: called with the reason when nobody listens any more, and with "" when somebody does again. sleep, backoff: how
    it waits meanwhile. clock in epoch seconds. Raises AddressRefused.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        secret: str,
        form: Literal["cloudevents", "raw"],
        away: Callable[[str], None],
        *,
        sleep: Callable[[float], Awaitable[object]],
        backoff: Backoff,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outgoing = outgoing
        self._secret = secret
        self._form = form
        self._away = away
        self._sleep = sleep
        self._backoff = backoff
        self._clock = clock
        self._is_away = False

    async def post(self, event: Event) -> Posted:
        """Post an event once it can be sent, and return what came of that; it is not sent twice."""
        try:
            sent = message(Delivery(event, NAME), self._form)
        except InvalidCloudEvent as error:
            return Posted(None, "", None, str(error))
        return await self._post(sent)

    async def _post(self, sent: Message) -> Posted:
        while True:
            try:
                exchange = await self._send(sent)
            except Unreachable as error:
                if error.connected:
                    self._note("")
                    return Posted(None, "", None, str(error))
                self._note(str(error))
                await self._sleep(self._backoff.next())
            except TimedOut as error:
                return Posted(None, "", None, str(error))
            else:
                self._note("")
                return Posted(exchange.status, answer_text(exchange.answer, [self._secret]), exchange.seconds)

    async def _send(self, sent: Message) -> Exchange:
        signature = signed([self._secret], sent.id, int(self._clock()), sent.body)
        return await self._outgoing.post(sent.body, {**sent.headers, **signature})

    def _note(self, why: str) -> None:
        """Say it when somebody begins or ceases to listen."""
        if bool(why) != self._is_away:
            self._is_away = bool(why)
            self._away(why)
        if not why:
            self._backoff.reset()
