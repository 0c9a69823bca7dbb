"""Events in the lines of keyed subscriptions, and the keys that an operator or a worker still has."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from router.events.whose import Whose
from router.store import record
from router.store.errors import StoreRefused, forgiven
from router.store.lines import Lines
from router.store.reading import checked
from workers.keyed.entry import BURIAL, is_doomed, stream_of, unpack
from workers.keyed.keying import owner_of
from workers.keyed.line_moves import BURIED
from workers.operations.audit import CHANGED, FAILED
from workers.operations.erasing.found import LEFT, Found, Ground, Place
from workers.operations.erasing.traces import remove_traces

__all__ = ["HeldKeys", "InLines", "PausedCompanies", "until_let_go"]

_PAGE: Final = 500
_BODIES: Final = 50
"""Bodies to read at once: they may be large."""
_SILENCE: Final = 4000
"""Milliseconds in which nobody brings events: longer than it takes a worker that has read some to notice that."""
_LOOK: Final = 0.1


class InLines(Place):
    """The events in the lines of one subscription."""

    name = "lines"

    def __init__(self, ground: Ground, subscription: str) -> None:
        super().__init__(ground)
        self.subscription = subscription
        self._lines = Lines(ground.store.keys, subscription)

    async def found(self) -> AsyncIterator[Found]:
        """Yield them in the order of their keys.

        A worker may have read events before they were removed from their streams. So, where they are to be removed,
        what it has read is refused first: it loses the lease of who brings events, and reads again.
        """
        lines = self._lines
        if self.ground.is_erasing and await self.store.command("EXISTS", lines.mover):
            await self.store.command("SET", lines.mover, "erasing", "PX", _SILENCE)
        start: bytes = b"-"
        while True:
            page = ("ZRANGEBYLEX", lines.lines, start, "+", "LIMIT", 0, _PAGE)
            members: list[bytes] = checked(forgiven(await self.store.commands([page]), [lines.lines], []))[0]
            for first in range(0, len(members), _BODIES):
                for found in await self._described(members[first : first + _BODIES]):
                    yield found
            if len(members) < _PAGE:
                return
            start = b"(" + members[-1]

    async def _described(self, members: Sequence[bytes]) -> list[Found]:
        parted = [member.partition(b"\0") for member in members]
        bodies = await self.store.command("HMGET", self._lines.bodies, *(ref for _, _, ref in parted))
        events = zip(parted, bodies, strict=True)
        return [found for (key, _, ref), body in events if (found := self._wanted(key, ref, body or b""))]

    def _wanted(self, key: bytes, ref: bytes, body: bytes) -> Found | None:
        company, fields = unpack(body)
        stream = stream_of(ref)
        if not self.ground.whose.wants_publisher(stream.partition("/")[0]):
            return None
        pairs = self.ground.pairs(stream, fields) if fields else [("", company.decode(errors="backslashreplace"))]
        if not self.ground.whose.wants_any(pairs):
            return None
        return Found(
            place=self,
            where=self._lines.lines,
            id=ref.decode(errors="backslashreplace"),
            content={record.KEY: key, **fields},
            whose=next(iter(pairs), ("", "")),
            size=len(body),
            payload=(key, ref, is_doomed(body), fields),
        )

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Remove them; of what is noted to be dead no dead letter is made any more."""
        keys, events = self.store.keys, [item.payload for item in items]
        await remove_traces(self.ground, [(stream_of(item.payload[1]), item.payload[3], item.whose) for item in items])
        burials = [
            keys.buried(stream_of(ref), self.subscription, (ref + b":" + burial).decode(errors="backslashreplace"))
            for _, ref, doomed, fields in events
            if doomed and (burial := fields.get(BURIAL, b""))
        ]
        await self.commands(*(("SET", marker, "0-0", "NX", "PX", BURIED) for marker in burials))
        (reply,) = await self.store.run([self._lines.erase([(key, ref, doomed) for key, ref, doomed, _ in events])])
        if isinstance(reply, StoreRefused):
            return Counter({FAILED: len(items)})
        removed, _, _ = checked([reply])[0]
        return Counter({CHANGED: removed})


class HeldKeys(Place):
    """The keys of one subscription that wait for an operator, and whose events are gone."""

    name = "held keys"

    def __init__(self, ground: Ground, subscription: str) -> None:
        super().__init__(ground)
        self._lines = Lines(ground.store.keys, subscription)

    async def found(self) -> AsyncIterator[Found]:
        """Yield those that are named by it."""
        rule = await _rule(self, self._lines)
        async for key, since in scanned(self, "ZSCAN", self._lines.held):
            if _is_theirs(self.ground.whose, rule, key):
                yield _named(self, self._lines.held, key, since)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Let them go."""
        (reply,) = await self.store.run([self._lines.release([item.payload for item in items])])
        return (
            Counter({FAILED: len(items)})
            if isinstance(reply, StoreRefused)
            else Counter({CHANGED: checked([reply])[0]})
        )


class PausedCompanies(Place):
    """The companies that one subscription handles nothing of, for an operator."""

    name = "paused companies"

    def __init__(self, ground: Ground, subscription: str) -> None:
        super().__init__(ground)
        self._lines = Lines(ground.store.keys, subscription)

    async def found(self) -> AsyncIterator[Found]:
        """Yield the company, if it is paused; whose tenant it is is not known."""
        if self.ground.whose.company is None:
            return
        async for company, until in scanned(self, "ZSCAN", self._lines.stopped):
            text = company.decode(errors="backslashreplace")
            if self.ground.whose.wants(self.ground.whose.tenant, text):
                yield _named(self, self._lines.stopped, company, until)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """End the pauses."""
        replies = checked(await self.store.run([self._lines.resume(item.payload) for item in items]))
        return Counter({CHANGED: sum(reply is not None for reply in replies)})


async def until_let_go(ground: Ground, patience: float) -> Counter[str]:
    """Wait until no worker has a key any more that is named so and has no events; count those that are LEFT then.

    patience: in seconds. The key of an event stays with its worker until the handler has ended.
    """
    until = time.monotonic() + patience
    while True:
        kept = sum([len(await _in_hand(InLines(ground, name), name)) for name in ground.subscriptions])
        if not kept or time.monotonic() >= until:
            return Counter({LEFT: kept})
        await asyncio.sleep(_LOOK)


async def _in_hand(place: Place, subscription: str) -> list[bytes]:
    """Return the keys of a subscription that a worker has, and that are named by whom this is for."""
    lines = Lines(place.store.keys, subscription)
    rule = await _rule(place, lines)
    return [key async for key, _ in scanned(place, "ZSCAN", lines.running) if _is_theirs(place.ground.whose, rule, key)]


async def _rule(place: Place, lines: Lines) -> str:
    """Return by which rule the keys of lines are made."""
    (rule,) = checked(forgiven(await place.store.commands([("HGET", lines.read, "keying")]), [lines.read], b""))
    return (rule or b"").decode(errors="replace")


def _is_theirs(whose: Whose, rule: str, key: bytes) -> bool:
    """Return whether a key is named by tenant and company; what a function of a user makes may name anything."""
    pair = owner_of(rule, key)
    return whose.is_surely_named(key.decode(errors="backslashreplace")) if pair is None else whose.wants(*pair)


def _named(place: Place, where: str, name: bytes, value: bytes) -> Found:
    text = name.decode(errors="backslashreplace")
    return Found(place=place, where=where, id=text, content={text: value}, payload=name)


async def scanned(place: Place, command: str, key: str) -> AsyncIterator[tuple[bytes, Any]]:
    """Yield the members of a set with their scores, or the fields of a hash with their values (ZSCAN, HSCAN)."""
    cursor: int | bytes = 0
    while True:
        replies = await place.store.commands([(command, key, cursor, "COUNT", _PAGE)])
        cursor, rows = checked(forgiven(replies, [key], (0, [])))[0]
        for name, value in _rows(rows):
            yield name, value
        if int(cursor) == 0:
            return


def _rows(rows: Any) -> list[tuple[bytes, Any]]:
    """Return pairs, in whichever form the client gives them."""
    if isinstance(rows, dict):
        return [*rows.items()]
    if rows and isinstance(rows[0], list | tuple):
        return [(name, value) for name, value in rows]
    return [*zip(rows[::2], rows[1::2], strict=True)]
