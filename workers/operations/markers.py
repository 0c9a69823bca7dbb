"""From when on the markers of `once` are needed: what is older may be swept.

A delivery that comes once more was in its stream, in the inbox, among the retries or in the lines all the time. So no
marker is needed that is older than the oldest event in these. What is still in a stream may come again as a whole:
where the store has lost its groups, they are made again from the beginning.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import forgiven
from router.store.lines import Lines
from router.store.reading import Span, checked, forward, is_entry_id, moment_of
from router.store.record import ORDER, Fields, millis_of
from workers.keyed.entry import order_of
from workers.state.former import all_streams
from workers.state.groups import existing_groups

_CLOCKS = timedelta(days=1)
"""By which the clocks of ingress, store and database may differ, with room to spare."""
_PAGE = 1000


async def markers_needed(
    store: Store, catalogue: Catalogue, settings: Settings, *, days: float, now: datetime
) -> dict[str, datetime]:
    """Return for each subscription that exists from when on its markers are needed.

    They are for `days` at least, and as long as events are remembered or kept. Raises StoreUnavailable.
    """
    latest = now - max(timedelta(days=days), _remembered(settings))
    needed: dict[str, datetime] = {}
    for stream, groups in (await existing_groups(store, await all_streams(store, catalogue))).items():
        for group in groups:
            needed[group.name] = min(needed.get(group.name, latest), await _in_streams(store, stream, group.name, now))
    return {name: min(at, await _in_lines(store, name, now)) - _CLOCKS for name, at in needed.items()}


def _remembered(settings: Settings) -> timedelta:
    """Return how long an event may come back that is finished: it is in its stream, or is sent again."""
    windows = (settings.ingress.dedup_window, *settings.dedup_windows.values())
    return timedelta(seconds=max(settings.retention.events, *windows))


async def _in_streams(store: Store, stream: str, name: str, now: datetime) -> datetime:
    """Return when the oldest came that is in a stream, or in what a subscription has of it; `now` for none."""
    keys = store.keys
    events, parked, inbox = keys.events(stream), keys.parked(stream, name), keys.inbox(stream, name)
    first = checked(forgiven(await store.commands([("XRANGE", events, "-", "+", "COUNT", 1)]), [events], []))[0]
    oldest = min([now, *(moment_of(entry_id) for entry_id, _ in first)])
    for key in (parked, inbox, parked):  # twice: meanwhile one may have gone from the inbox to the retries
        async for _, fields in forward(store, key, Span()):
            oldest = min(oldest, _came(fields))
    return oldest


def _came(fields: Fields) -> datetime:
    """Return when an event came to its stream; when it was received where an earlier version has written that alone."""
    order = fields.get(ORDER, b"")
    return moment_of(order) if is_entry_id(order) else moment_of(f"{millis_of(fields)}-0")


async def _in_lines(store: Store, name: str, now: datetime) -> datetime:
    """Return when the oldest came that is in the lines of a subscription; `now` for none."""
    oldest = now
    async for ref in _refs(store, Lines(store.keys, name).keys[0]):
        oldest = min(oldest, moment_of(order_of(ref)))
    return oldest


async def _refs(store: Store, lines: str) -> AsyncIterator[bytes]:
    after = b"-"
    while True:
        command = ("ZRANGEBYLEX", lines, after, "+", "LIMIT", 0, _PAGE)
        members: list[bytes] = checked(forgiven(await store.commands([command]), [lines], []))[0]
        for member in members:
            yield member.partition(b"\0")[2]
        if len(members) < _PAGE:
            return
        after = b"(" + members[-1]
