"""The first hop: from the streams of a keyed subscription into its lines, by one worker, in order.

Each batch is added to the lines first, where each entry counts once; then the group of the stream moves on, and the
inbox lets its entries go. A crash between the two only has the next worker bring again what the lines know already.
Reading takes nothing away, so a worker that lost its lease without noticing does no harm: what it adds is refused.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import compress

from router.events.event import Event
from router.store import scripts
from router.store.errors import STORE_ERRORS, StoreUnavailable, is_no_group
from router.store.lines import Item, Lines
from router.store.read_connection import ReadConnection
from router.store.reading import Pager
from router.store.record import ORDER, REASON, read_event
from router.tasks.backoff import Backoff
from router.tasks.ending import end
from workers.consuming.context import Context
from workers.consuming.skipping import Sieve
from workers.keyed.entry import BURIAL, new_burial, order_of, pack, ref_of
from workers.keyed.in_order import Entry, InOrder
from workers.keyed.in_other_hands import in_other_hands
from workers.keyed.key_finder import NOBODY, KeyFinder
from workers.keyed.keying import Keyed
from workers.keyed.leadership import Leadership, NoLongerLeader
from workers.keyed.mending import Mending
from workers.keyed.positions import begun_again, positions
from workers.keyed.rekeying import Rekeying

_COUNT = 200
"""Entries to take from one source in one read, at most."""
_FIRST = 32
"""The same in the first read, when nothing is known of their size."""
_BYTES = 1024 * 1024
"""Bytes to bring in one script call, unless one entry has more: a script blocks the whole server while it runs."""
_LOST = -2
"""What the lines reply that do not know what they were brought before."""
_LONGEST = 15.0
"""Seconds that one read waits at least: nothing depends on its end, which is no news."""
_AGAIN = 30.0
"""Seconds until sources that could not be read, since they are of another type, are tried again."""
_CONFIRM = ("WAIT", 1, 1000)
"""Has a replica take what was written before, within so many milliseconds."""


class Mover:
    """Brings the events of one subscription into its lines, while this consumer has the lease."""

    def __init__(self, context: Context, lines: Lines, leadership: Leadership) -> None:
        self._context = context
        self._lines = lines
        self._leadership = leadership
        self._backoff = Backoff(context.random)
        self._sieve = Sieve(context.subscription.where)
        self._skipped = context.metrics.skipped.labels(context.group)
        self._brought: dict[str, str] = {}
        self._sources = {key: (stream, inbox) for stream, inbox, key in context.sources()}
        self._finder = KeyFinder(context, lines, leadership, self._sources)
        self._rekeying = Rekeying(context, lines, leadership, self._finder)
        self._mending = Mending(context, lines, leadership, self._finder)

    async def run(self) -> None:
        """Bring events until cancelled, whatever happens to the store."""
        try:
            await self._take_turns()
        finally:
            self._finder.close()

    async def _take_turns(self) -> None:
        """Bring events whenever this consumer has the lease."""
        while True:
            read = await self._leadership.won()
            self._context.log.info("lines_led", consumer=self._context.consumer)
            keeping = asyncio.create_task(self._leadership.keep())
            try:
                await self._lead(read)
            except NoLongerLeader:
                self._context.log.info("lines_led_by_another")
            except STORE_ERRORS as error:
                self._context.outage.failed("bringing events into the lines", error)
                await asyncio.sleep(self._backoff.next())
            finally:
                await end([keeping])

    async def _lead(self, read: Mapping[str, str]) -> None:
        """Bring events until the lease is lost; raises NoLongerLeader, StoreUnavailable and StoreRefused."""
        context = self._context
        await context.ensure_groups()
        await self._finder.begin()
        await self._rekeying.run()
        self._brought = {}
        sources = [key for key in self._sources if key not in context.spoilt] or [*self._sources]
        start = await positions(context, self._lines, {key: self._sources[key] for key in sources}, read)
        parts = [[key] for key in sources] if context.store.cluster else [sources]
        bringing = [asyncio.create_task(self._bring({key: start[key] for key in part})) for part in parts]
        bringing.append(asyncio.create_task(self._mending.run(self._brought)))
        try:
            await asyncio.wait(bringing, return_when=asyncio.FIRST_COMPLETED)
            for task in bringing:
                if task.done():
                    task.result()
        finally:
            await end(bringing)

    async def _bring(self, start: dict[str, str]) -> None:
        context = self._context
        blocking = max(context.settings.block, _LONGEST)
        connection = ReadConnection(context.store, next(iter(start)), blocking, unblockable=False)
        in_order, pager = InOrder(), Pager(most=_COUNT, first=_FIRST)
        look_at = context.monotonic() + self._look_after()
        try:
            while True:
                keys = [key for key in start if key not in in_order.waiting]
                block = () if in_order.waiting else ("BLOCK", int(blocking * 1000))
                count = pager.count
                reply = await connection.run(
                    *("XREAD", "COUNT", count, *block, "STREAMS", *keys, *(start[key] for key in keys))
                )
                found = {key.decode(): entries for key, entries in (reply or {}).items()}
                start |= {key: entries[-1][0].decode() for key, entries in found.items() if entries}
                pager.took([entry for entries in found.values() for entry in entries if entry[1]], len(found))
                await self._take(in_order.put(found, keys, count))
                self._backoff.reset()
                context.outage.over("bringing events into the lines")
                if self._leadership.lost.is_set():
                    raise NoLongerLeader
                if context.monotonic() >= look_at:
                    await self._look(start)
                    look_at = context.monotonic() + self._look_after()
        finally:
            await connection.aclose()

    def _look_after(self) -> float:
        """Return in how many seconds to look at the sources."""
        sweep = self._context.settings.sweep_interval
        return min(_AGAIN, sweep) if self._context.spoilt else sweep

    async def _look(self, start: Mapping[str, str]) -> None:
        """Raise NoLongerLeader where there may be more to read from elsewhere.

        A source was begun again, and reading on from where it was brings nothing; or one could not be read so far.
        """
        if self._context.spoilt or await begun_again(self._context, start):
            raise NoLongerLeader

    async def _take(self, entries: Sequence[Entry]) -> None:
        for share in self._shares(entries):
            if free := await self._free(share):
                skipped = await self._add(free)
                await self._confirm(free)
                await self._move_on(free)
                self._count(skipped)

    def _shares(self, entries: Sequence[Entry]) -> Iterator[list[Entry]]:
        """Yield as many as one script may take, in number and in bytes, and alone what a worker may have died of."""
        share: list[Entry] = []
        size = 0
        for entry in entries:
            length = sum(map(len, entry.fields.values()))
            suspect = self._finder.is_suspect(entry)
            if share and (suspect or len(share) == scripts.BATCH or size + length > _BYTES):
                yield share
                share, size = [], 0
            if suspect:
                yield [entry]
            else:
                share.append(entry)
                size += length
        if share:
            yield share

    async def _free(self, entries: Sequence[Entry]) -> list[Entry]:
        """Leave out what an unkeyed worker has in hand."""
        held = {
            source: await in_other_hands(self._context, source, ids)
            for source, ids in _by_source(entries).items()
            if self._sources[source][1]
        }
        return [entry for entry in entries if entry.entry_id not in held.get(entry.source, ())]

    def _count(self, skipped: Sequence[Entry]) -> None:
        self._skipped.inc(len(skipped))
        for entry in skipped:
            self._context.skipped.add(self._sources[entry.source][0], 1)

    def _event(self, entry: Entry) -> Event:
        return read_event(self._context.catalogue, self._sources[entry.source][0], entry.fields)

    async def _add(self, entries: Sequence[Entry]) -> list[Entry]:
        """Add entries to the lines, without those that the filter skips, and return these.

        Raises NoLongerLeader where they are refused.
        """
        is_wanted = [not self._sieve.skips(entry.fields, partial(self._event, entry)) for entry in entries]
        wanted = [*compress(entries, is_wanted)]
        keys = iter(await self._finder.keys_of(wanted) if wanted else ())
        items = [
            self._item(entry, next(keys)) if passes else Item(entry.source, entry.place, b"", b"", b"")
            for entry, passes in zip(entries, is_wanted, strict=True)
        ]
        self._accepted(await self._context.store.call(self._adding(entries, items)))
        self._brought |= {entry.source: entry.place for entry in entries}
        return [entry for entry, passes in zip(entries, is_wanted, strict=True) if not passes]

    def _adding(self, entries: Sequence[Entry], items: Sequence[Item]) -> scripts.Call:
        brought = {source: self._brought[source] for source in _by_source(entries) if source in self._brought}
        return self._lines.add(self._leadership.token, self._leadership.lease, items, brought)

    def _accepted(self, reply: int) -> None:
        if reply == _LOST:
            self._context.log.warning("lines_lost_writes")
        if reply < 0:
            raise NoLongerLeader

    async def _confirm(self, entries: Sequence[Entry]) -> None:
        """Wait until a replica of the lines has what came from inboxes, which let it go for good.

        On a Cluster these are on another node: a failover of the lines must not lose what is nowhere else. Where no
        replica confirms it in time, there may be none. Elsewhere what lets them go is behind in the same replication.
        """
        from_inboxes = [entry for entry in entries if self._sources[entry.source][1]]
        if not (self._context.store.cluster and from_inboxes):
            return
        adding = self._adding(from_inboxes, ())
        reply, reached = await self._context.store.call_followed(adding, _CONFIRM)
        if isinstance(reply, BaseException):
            raise reply
        self._accepted(reply)
        if isinstance(reached, StoreUnavailable):
            raise reached

    def _item(self, entry: Entry, keyed: Keyed) -> Item:
        stream, inbox = self._sources[entry.source]
        ref = ref_of(stream, entry.entry_id, entry.fields, inbox=inbox, may_be_merged=keyed.may_be_merged)
        fields: list[scripts.Field] = [part for pair in entry.fields.items() for part in pair]
        if keyed.error:
            fields += [REASON, keyed.error, ORDER, order_of(ref), BURIAL, new_burial()]
        key = NOBODY + ref if keyed.key is None else keyed.key
        return Item(entry.source, entry.place, key, ref, pack(keyed.company, fields, doomed=bool(keyed.error)))

    async def _move_on(self, entries: Sequence[Entry]) -> None:
        """Let the sources go on from what is in the lines now; raises NoLongerLeader where a group is gone."""
        calls = [self._forward(source, ids) for source, ids in _by_source(entries).items()]
        for reply in await self._context.store.run(calls):
            if is_no_group(reply):
                raise NoLongerLeader
            if isinstance(reply, BaseException):
                raise reply

    def _forward(self, source: str, ids: Sequence[bytes]) -> scripts.Call:
        _, inbox = self._sources[source]
        if inbox:
            return scripts.delete(source, ids)
        return scripts.advance(source, self._context.group, ids[-1], len(ids))


def _by_source(entries: Sequence[Entry]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for entry in entries:
        found.setdefault(entry.source, []).append(entry.entry_id)
    return found
