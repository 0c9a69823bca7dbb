"""Streams that a subscription's globs leave out, and on which its group still has something: nobody handles that.

Globs get narrowed, and the group stays where it was: what is pending, in the inbox or scheduled there waits for ever,
what comes keeps waiting too, and retention keeps it all. A worker says so; what to do is an operator's decision.
"""

import asyncio
from collections.abc import Sequence

from router.store.errors import STORE_ERRORS
from router.tasks.backoff import Backoff
from workers.consuming.context import Context
from workers.state.overview import SubscriptionOverview, holdings

_AGAIN = 60.0  # seconds
_NAMED = 5  # streams


class LeftOut:
    """Looks at a start, and again for as long as there is a group of the subscription on a stream that it leaves out.

    `warning` says what is there, and what to do; empty where there is nothing.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        reads = set(context.streams)
        self._others = [stream for stream in context.catalogue.streams() if stream not in reads]
        self._said: set[str] = set()
        self.warning = ""

    async def run(self) -> None:
        """Look until cancelled, whatever happens to the store."""
        backoff = Backoff(self._context.random)
        while True:
            try:
                found = await holdings(self._context.store, self._others, self._context.group) if self._others else []
            except STORE_ERRORS:
                await asyncio.sleep(backoff.next())
                continue
            self._take([holding for holding in found if holding.unfinished])
            if not found:  # only another start can leave out more
                await asyncio.Event().wait()
            await asyncio.sleep(_AGAIN)

    def _take(self, busy: Sequence[SubscriptionOverview]) -> None:
        """Keep what was found, and log it where it is new."""
        context = self._context
        self.warning = told_left_out(context.group, busy) if busy else ""
        streams = {holding.stream for holding in busy}
        if streams - self._said:
            figures = {
                name: sum(getattr(holding, name) for holding in busy) for name in ("waiting", "inbox", "scheduled")
            }
            context.log.warning("streams_left_out", streams=sorted(streams), **figures, advice=_advice(context.group))
        self._said = streams


def told_left_out(name: str, busy: Sequence[SubscriptionOverview]) -> str:
    """Return what is left of a subscription on streams that it does not read, and what to do about it."""
    named = ", ".join(f"{holding.stream} {holding.unfinished}" for holding in busy[:_NAMED])
    more = f" and {len(busy) - _NAMED} more" if len(busy) > _NAMED else ""
    events = sum(holding.unfinished for holding in busy)
    return f"{events} unfinished on streams that its events leave out ({named}{more}): {_advice(name)}"


def _advice(name: str) -> str:
    return (
        f"let its events name them again, or stop its workers and give up what is there: "
        f"event-router subscriptions remove {name} --events GLOB"
    )
