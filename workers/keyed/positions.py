"""Where a worker begins to read that has just been given the lease of the lines."""

from collections.abc import Mapping
from typing import Any

from router.store.errors import is_refusal
from router.store.lines import Lines
from router.store.reading import checked, named_values
from workers.consuming.context import Context
from workers.keyed.entry import order_of, place_of
from workers.state.groups import parse_groups

_BEGINNING = "0-0"


async def positions(
    context: Context, lines: Lines, sources: Mapping[str, tuple[str, bool]], read: Mapping[str, str]
) -> dict[str, str]:
    """Return for each source the id to read on from; `read` is what the lines have of each. Raises StoreUnavailable.

    Of a stream that is where its group stands, and of an inbox its beginning. What the lines have already is brought
    once more, which they ignore, and then its source goes on, which the worker before had no time for. A source that
    ends before what the lines have of it was deleted and begun again: what they have is forgotten, since all that comes
    now would be taken for known. On a Cluster the lines are on another node than the stream: where a failover took the
    last writes from them, the group is ahead of what they have, and they go on from that. So it is written down at once
    where they begin.
    """
    ends = await _ends(context, sources)
    groups = await _groups(context, sources)
    start, forgotten, begun = {}, [], []
    for source in sources:
        known = read.get(source, "")
        if known and known > place_of(ends[source].encode()):
            forgotten.append(source)
            context.log.warning("stream_begun_again", key=source)
            known = ""
        start[source] = groups.get(source, _BEGINNING)
        if not known and source in groups:
            begun += [source, place_of(start[source].encode())]
        if context.store.cluster and known and known < place_of(start[source].encode()):
            start[source] = order_of(known.encode())
            context.log.warning("lines_fell_behind", key=source, read_on_from=start[source])
    if forgotten:
        await context.store.command("HDEL", lines.read, *forgotten)
    if begun:
        await context.store.command("HSET", lines.read, *begun)
    return start


async def begun_again(context: Context, start: Mapping[str, str]) -> bool:
    """Return whether one of these sources ends before the id that it was read up to; raises StoreUnavailable."""
    read = [source for source, last in start.items() if last != _BEGINNING]
    replies = await context.store.commands([("XINFO", "STREAM", source) for source in read]) if read else []
    return any(
        is_refusal(info) or _before(_end(info), start[source]) for source, info in zip(read, replies, strict=True)
    )


async def _ends(context: Context, sources: Mapping[str, Any]) -> dict[str, str]:
    """Return the last id that each source ever had."""
    replies = await context.store.commands([("XINFO", "STREAM", source) for source in sources])
    ends = {}
    for source, info in zip(sources, checked(replies), strict=True):
        ends[source] = _end(info)
    return ends


async def _groups(context: Context, sources: Mapping[str, tuple[str, bool]]) -> dict[str, str]:
    streams = [source for source, (_, inbox) in sources.items() if not inbox]
    replies = await context.store.commands([("XINFO", "GROUPS", source) for source in streams])
    return {
        source: group.last_delivered
        for source, reply in zip(streams, replies, strict=True)
        for group in parse_groups(reply)
        if group.name == context.group
    }


def _end(info: Any) -> str:
    last: bytes = named_values(info)[b"last-generated-id"]
    return last.decode()


def _before(entry_id: str, other: str) -> bool:
    return place_of(entry_id.encode()) < place_of(other.encode())
