"""Notices made into a message, which is tried until it is taken. What comes meanwhile joins it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from config.errors import described
from config.notify import NotifySettings
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.store.scripts import Field
from router.tasks.backoff import Backoff
from router.telemetry import logs
from workers.notify.message import Message, Notice, compose
from workers.notify.metrics import NotifyMetrics
from workers.notify.pace import Pace
from workers.notify.reading import Entry, Notices
from workers.notify.sending import Channel, SendFailed
from workers.notify.state import failed, note, sent

__all__ = ["MOST", "Delivery"]

MOST: Final = 2000
"""Most notices of one message."""
_BARE_AFTER: Final = 2
"""Refusals of a message after which it is sent without the texts of incidents."""
_log = logs.get("notify")


class Delivery:
    """Hands over what one notifier has to say; `clock` in epoch seconds."""

    def __init__(
        self,
        settings: NotifySettings,
        store: Store,
        metrics: NotifyMetrics,
        pace: Pace,
        random: Random,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._pace = pace
        self._random = random
        self._clock = clock
        self._zone = ZoneInfo(settings.zone)

    def wants(self, entries: Sequence[Entry]) -> bool:
        """Return whether there is anything to say."""
        return bool(self._wanted(entries))

    async def deliver(self, entries: Sequence[Entry], channel: Channel, notices: Notices) -> list[str]:
        """Say what there is to say, however long that takes; return the entries that are done with it."""
        waiting, failures, refusals = list(entries), 0, 0
        backoff = Backoff(self._random, self._pace.first, self._pace.longest)
        while self.wants(waiting):
            message = self._message(waiting, bare=refusals >= _BARE_AFTER)
            try:
                await self._send(channel, message)
            except SendFailed as error:
                failures, refusals = failures + 1, refusals + error.refused
                await self._failed(error, failures)
                await asyncio.sleep(max(backoff.next(), min(error.retry_after or 0.0, self._pace.asked)))
                waiting += await notices.more(MOST - len(waiting))
            else:
                self._count("late", message.late.number if message.late else 0)
                self._count("reported", len(self._wanted(waiting)) - (message.late.number if message.late else 0))
                break
        self._count("lost", sum(notice is None for _, notice in waiting))
        return [entry_id for entry_id, _ in waiting]

    def _wanted(self, entries: Sequence[Entry]) -> list[Notice]:
        return [notice for _, notice in entries if notice is not None and self._settings.wants(notice.incident.kind)]

    def _count(self, how: str, number: int) -> None:
        self._metrics.notices.labels(self._settings.name, how).inc(number)

    def _message(self, entries: Sequence[Entry], *, bare: bool) -> Message:
        wanted = self._wanted(entries)
        fresh, zone = self._settings.fresh, self._zone
        message = compose(self._settings.name, wanted, int(self._clock() * 1000), zone=zone, fresh=fresh)
        assert message is not None
        return message.bare() if bare else message

    async def _send(self, channel: Channel, message: Message) -> None:
        try:
            taken = await channel.send(message)
        except SendFailed:
            raise
        except Exception as error:
            _log.exception("message_broken", notifier=self._settings.name)
            raise SendFailed(described(error), refused=True) from error
        name = self._settings.name
        self._metrics.messages.labels(name, "sent").inc()
        _log.info("message_sent", notifier=name, title=message.title, answer=taken.answer)
        if taken.warning:
            _log.warning("message_taken_in_part", notifier=name, reason=taken.warning)
        await self._note(sent(int(self._clock() * 1000), taken.warning))

    async def _failed(self, error: SendFailed, failures: int) -> None:
        self._metrics.messages.labels(self._settings.name, "failed").inc()
        say = _log.warning if failures == 1 else _log.info
        say("message_not_sent", notifier=self._settings.name, failures=failures, error=str(error))
        await self._note(failed(int(self._clock() * 1000), failures, str(error)))

    async def _note(self, fields: Mapping[str, Field]) -> None:
        """Write down how it fares, if that can be: the message counts, whatever becomes of the note."""
        with suppress(*STORE_ERRORS):
            await note(self._store, self._settings.name, fields)
