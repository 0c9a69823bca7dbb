"""Finding out the keys of the entries that are brought, though a user's key function may end the process or hang.

Before such a function runs it is noted for which entries. A note that is still there at the next term says that a
worker died with them: they are tried one by one then, and one with which workers die again and again becomes a dead
letter.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from router.store.lines import Lines
from workers.consuming.context import Context
from workers.keyed.entry import stream_of, unpack
from workers.keyed.in_order import Entry
from workers.keyed.key_thread import KeyThread
from workers.keyed.keying import Keyed, Keying
from workers.keyed.leadership import Leadership, NoLongerLeader

NOBODY: Final = b"~"
"""What the key of an event begins with that is ordered by nothing, and so is a key of its own."""
_AGAIN: Final = "again/"
"""What the name of a note begins with that is about events of the lines, which no source has."""
_FEWEST: Final = 2
"""Workers that have died with an entry before it is blamed: one may have died of anything."""


class KeyFinder:
    """Finds out the keys of entries for the worker that brings them; `sources`: stream, and whether it is an inbox."""

    def __init__(
        self, context: Context, lines: Lines, leadership: Leadership, sources: Mapping[str, tuple[str, bool]]
    ) -> None:
        subscription = context.subscription
        self._context = context
        self._lines = lines
        self._leadership = leadership
        self._sources = sources
        self._keying = Keying(subscription, context.catalogue)
        self._thread = KeyThread(self._keying, subscription.name) if callable(subscription.key) else None
        self._limit = max(_FEWEST, subscription.retry.max_attempts)
        self._suspects: dict[str, str] = {}
        self._careful = False

    async def begin(self) -> None:
        """Learn with which entries other workers have died; raises StoreUnavailable and StoreRefused."""
        self._suspects, self._careful = {}, False
        if self._thread is None:
            return
        noted = await self._context.store.command("HGETALL", self._lines.trials)
        for source, trial in noted.items():
            _, last, _, token = trial.decode(errors="surrogateescape").split(" ", 3)
            if token != self._leadership.token:
                self._suspects[source.decode()] = last
                self._careful |= source.startswith(_AGAIN.encode())

    def is_suspect(self, entry: Entry) -> bool:
        """Return whether a worker may have died of an entry, which is to be tried alone then."""
        return entry.place <= self._suspects.get(entry.source, "")

    async def keys_of(self, entries: Sequence[Entry]) -> list[Keyed]:
        """Return what orders each of these; raises NoLongerLeader, StoreUnavailable and StoreRefused."""
        named = [(self._sources[entry.source][0], entry) for entry in entries]
        if self._thread is None:
            return [self._keying.of(stream, entry.fields) for stream, entry in named]
        died = await self._note(entries) - 1
        if len(entries) == 1 and died >= self._limit:
            (stream, entry), *_ = named
            return [self._keying.without(stream, entry.fields, f"{died} workers died while the key function ran")]
        return await self._thread.keys_of(named)

    async def again(self, events: Sequence[tuple[bytes, bytes, bytes]]) -> list[bytes]:
        """Return the keys of events that are in the lines: ref, body, and the key where none can be made. As `keys_of`.

        Where a worker has died of that, each is tried alone.
        """
        if self._careful and len(events) > 1:
            return [key for event in events for key in await self.again([event])]
        entries = [_entry_of(ref, body) for ref, body, _ in events]
        keyed = await self._of_lines(entries) if events else []
        return [
            known if one.error else NOBODY + ref if one.key is None else one.key
            for one, (ref, _, known) in zip(keyed, events, strict=True)
        ]

    async def _of_lines(self, entries: Sequence[tuple[str, Entry]]) -> list[Keyed]:
        if self._thread is None:
            return [self._keying.of(stream, entry.fields) for stream, entry in entries]
        first, last = entries[0][1], entries[-1][1]
        note = (_AGAIN + first.place, first.place, last.place)
        call = self._lines.try_keys(self._leadership.token, [note])
        times: int = await self._context.store.call(call)
        if not times:
            raise NoLongerLeader
        if len(entries) == 1 and times > self._limit:
            return [Keyed(None, error=f"{times - 1} workers died while the key function ran")]
        keyed = await self._thread.keys_of(entries)
        await self._context.store.command("HDEL", self._lines.trials, note[0])
        return keyed

    def close(self) -> None:
        """End the thread of the key function, or leave it to itself."""
        if self._thread is not None:
            self._thread.close()

    async def _note(self, entries: Sequence[Entry]) -> int:
        """Note what is about to be tried; return by how many workers just that was begun, this one included."""
        first = {entry.source: entry.place for entry in reversed(entries)}
        last = {entry.source: entry.place for entry in entries}
        trials = [(source, first[source], last[source]) for source in first]
        times: int = await self._context.store.call(self._lines.try_keys(self._leadership.token, trials))
        if not times:
            raise NoLongerLeader
        return times


def _entry_of(ref: bytes, body: bytes) -> tuple[str, Entry]:
    _, fields = unpack(body)
    return stream_of(ref), Entry("", b"", fields, ref.decode(errors="backslashreplace").replace(" ", "_"))
