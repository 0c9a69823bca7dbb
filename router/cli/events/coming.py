"""Events as they come, after some that are there already: for commands that show them, or do something with each."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime

from router.cli.command.reader import while_read
from router.cli.command.runtime import say_away
from router.cli.events.listing import readable
from router.events.event import Event
from router.store.following import Following
from router.store.reading import Span, moment_of, order_of
from router.tasks.ending import in_time
from router.tasks.iterating import first
from workers.operations.criteria import within
from workers.operations.events import Browser, EventFilter, StoredEvent
from workers.operations.operations import Operations

__all__ = ["for_each"]


async def for_each(
    operations: Operations,
    streams: Sequence[str],
    wanted: EventFilter,
    past: int | None,
    do: Callable[[Event], Awaitable[None]],
    none_past: Callable[[], None] | None = None,
) -> None:
    """Do something with events, one after the other, oldest first: the last `past` of these streams, then what comes.

    Until the time that is wanted, without an end otherwise; ends when the reader of the output has gone. With None for
    `past` it begins at the time from which on they are wanted. none_past: called where past ones were asked for and
    there are none.
    """

    async def each() -> None:
        after = await operations.browser.last_entries(streams)
        if not await _do(_past(operations.browser, after, wanted, past), do) and past != 0 and none_past:
            none_past()
        new = _do(_new(operations, after, wanted), do)
        if wanted.until is None:
            await new
        else:
            with contextlib.suppress(TimeoutError):
                await in_time((wanted.until - datetime.now(UTC)).total_seconds(), new)

    await while_read(each())


async def _do(found: AsyncGenerator[StoredEvent, None], do: Callable[[Event], Awaitable[None]]) -> int:
    """Do something with each event, and return how many there were."""
    number = 0
    async with contextlib.aclosing(found):
        async for event in readable(found):
            await do(event)
            number += 1
    return number


async def _past(
    browser: Browser, after: dict[str, str], wanted: EventFilter, number: int | None
) -> AsyncGenerator[StoredEvent, None]:
    """Yield what is there already, oldest first: the last few, or all from a time on."""
    if number is None:
        begin = wanted.span()
        spans = {stream: Span(begin.first, last) for stream, last in after.items() if last != "0-0"}
        async for stored in browser.oldest(spans, wanted):
            if _in_time(wanted, stored):
                yield stored
        return
    if number == 0:
        return
    past = {stream: order_of(last) for stream, last in after.items()}
    found = browser.newest(list(after), wanted)
    newest = (stored async for stored in found if order_of(stored.entry_id) <= past[stored.stream])
    for stored in reversed([stored async for stored in first(newest, number)]):
        yield stored


async def _new(operations: Operations, after: dict[str, str], wanted: EventFilter) -> AsyncGenerator[StoredEvent, None]:
    """Yield the events that come, after these entries of their streams."""
    streams = {operations.store.keys.events(stream): stream for stream in after}
    following = Following(operations.store, say_away)
    try:
        following.add({key: after[stream] for key, stream in streams.items()})
        async for key, (entry_id, fields) in following.entries():
            stored = operations.browser.read(streams[key], entry_id, fields)
            if wanted.matches(stored.event) and _in_time(wanted, stored):
                yield stored
    finally:
        await following.aclose()


def _in_time(wanted: EventFilter, stored: StoredEvent) -> bool:
    return within(moment_of(stored.entry_id), wanted.since, wanted.until)
