"""Where an event is in the lines of a keyed subscription: behind which other, and into which it will be merged.

The lines know their events by key. That of an event is known unless a function of the subscription makes it; then all
lines are looked through, as far as that goes.
"""

from dataclasses import dataclass
from typing import Any

from router.events.event import Event
from router.store.client import Store
from router.store.keys import LINES
from router.store.lines import Lines
from router.store.record import EVENT, ID, text_of
from workers.delivery import Held
from workers.keyed.entry import is_mergeable, is_replayed, merged_before, place_in_line, stream_of, unpack
from workers.keyed.keying import usual_keys
from workers.operations.keys.line_keys import worker_of
from workers.state.companies import CompanyPause, company_pause

_PAGE = 1000
_LINE = 500
"""How many events of one line are looked at: as many as one delivery stands for by default."""
_BYTES = 1024 * 1024
_BODIES = 50
"""How many bodies one reply has: they may be large."""


@dataclass(frozen=True, slots=True)
class InLine:
    """An event in its line: the state of its key with the time of it (epoch milliseconds or nothing), and its delivery.

    That is of another event where this one was merged into that before, and that was replayed.
    paused: of its company. limit: how many of its company may run at once, where so many do. first: the id of the first
    event of the key; is_first: whether it is that, or stands for that. merged_into: the id
    of the later event that stands for it. is_handled: whether a worker handles it now, which is `worker`.
    """

    key: str
    ref: bytes
    held: Held
    state: str
    at: bytes
    first: str
    is_first: bool
    merged_into: str | None = None
    is_handled: bool = False
    worker: str = ""
    paused: CompanyPause | None = None
    limit: int | None = None


class LineSearch:
    """Looks for an event of a stream in the lines of one subscription."""

    def __init__(self, store: Store, name: str, stream: str, entry_id: str, event: Event | None) -> None:
        self._store = store
        self._lines = Lines(store.keys, name)
        self._key = dict(zip(LINES, self._lines.keys, strict=True))
        self._stream = stream.encode()
        self._place = place_in_line(entry_id)
        self._event = event

    async def find(self, most: int) -> tuple[list[InLine], bool]:
        """Return where it is, and whether all was looked through; at most `most` events are, where its key is unknown.

        Raises StoreUnavailable.
        """
        found = await self._of_usual_keys()
        complete = bool(found) or await self._has_usual_keys()
        if not complete:
            found, complete = await self._scan(most)
        return [await self._describe(key, ref) for key, ref in dict.fromkeys(found)], complete

    async def _of_usual_keys(self) -> list[tuple[bytes, bytes]]:
        keys = usual_keys(self._event) if self._event else []
        keys.append(b"~" + self._place + b"o/" + self._stream)
        found: list[tuple[bytes, bytes]] = []
        for key in keys:
            start = key + b"\0" + self._place
            members = await self._store.command(
                "ZRANGEBYLEX", self._key["lines"], b"[" + start, b"(" + start + b"~", "LIMIT", 0, 100
            )
            found += self._of_ours(members)
            members = await self._store.command(
                "ZRANGEBYLEX", self._key["lines"], b"[" + key + b"\0", b"(" + key + b"\1", "LIMIT", 0, _PAGE
            )
            found += await self._that_name_ours(members)
        return found

    async def _has_usual_keys(self) -> bool:
        """Return whether the first key is such a one, or there is none: then so are the others."""
        names = await self._store.call(self._lines.names(None, 1))
        if not names:
            return True
        (row,) = await self._store.call(self._lines.look(names, 1))
        _, fields = unpack(row[6])
        return names[0] in usual_keys(fields.get(EVENT, b""))

    async def _scan(self, most: int) -> tuple[list[tuple[bytes, bytes]], bool]:
        found: list[tuple[bytes, bytes]] = []
        start, searched = b"-", 0
        while searched < most:
            members = await self._store.command("ZRANGEBYLEX", self._key["lines"], start, "+", "LIMIT", 0, _PAGE)
            found += self._of_ours(members)
            found += await self._that_name_ours(members)
            searched += len(members)
            if len(members) < _PAGE:
                return found, True
            start = b"(" + members[-1]
        return found, False

    def _of_ours(self, members: list[bytes]) -> list[tuple[bytes, bytes]]:
        parted = (member.partition(b"\0") for member in members)
        return [
            (key, ref)
            for key, _, ref in parted
            if ref.startswith(self._place) and ref.partition(b"/")[2] == self._stream
        ]

    async def _that_name_ours(self, members: list[bytes]) -> list[tuple[bytes, bytes]]:
        """Return those that were replayed and have stood for the event before."""
        parted = (member.partition(b"\0") for member in members)
        replayed = [(key, ref) for key, _, ref in parted if is_replayed(ref)]
        found = []
        for start in range(0, len(replayed) if self._event else 0, _BODIES):
            share = replayed[start : start + _BODIES]
            bodies = await self._store.command("HMGET", self._key["bodies"], *(ref for _, ref in share))
            found += [pair for pair, body in zip(share, bodies, strict=True) if self._names_ours(body)]
        return found

    def _names_ours(self, body: bytes | None) -> bool:
        event, kind = self._event, self._stream.decode().partition("/")[2]
        named = merged_before(unpack(body or b"")[1])
        return event is not None and any((merged.id, merged.type) == (event.id, kind) for merged in named)

    async def _describe(self, key: bytes, ref: bytes) -> InLine:
        (row,) = await self._store.call(self._lines.look([key], 1))
        state, at, token, _, head, until, known, limit, _ = row[2:]
        company = unpack(head)[0]
        running, refs, bodies = await self._line(key)
        handled = bool(running) and ref <= running
        into = _stands_for(refs, ref, running)
        body = bodies.get(ref) or await self._store.command("HGET", self._key["bodies"], ref) or b""
        return InLine(
            key=key.decode(errors="backslashreplace"),
            ref=ref,
            held=Held(stream_of(ref), ref, unpack(body)[1], inbox=False, touched=0.0),
            state=state.decode(),
            at=at,
            first=_id_of(row[6]),
            is_first=ref in (row[5], _stands_for(refs, row[5], running)),
            merged_into=_id_of(bodies[into]) if into else self._stood_for_by(body),
            is_handled=handled,
            worker=worker_of(token) if handled else "",
            paused=company_pause(company, until, known) if until else None,
            limit=limit or None,
        )

    def _stood_for_by(self, body: bytes) -> str | None:
        return _id_of(body) if self._names_ours(body) else None

    async def _line(self, key: bytes) -> tuple[bytes, list[bytes], dict[bytes, bytes]]:
        running, *found = await self._store.call(self._lines.line(key, b"", _LINE, _BYTES))
        return running, found[::2], dict(zip(found[::2], found[1::2], strict=True))


def _stands_for(refs: list[bytes], ref: bytes, running: bytes) -> bytes | None:
    """Return which later event stands for one: of those in a row that may be merged, or that run, the last."""
    if ref not in refs or ref == running:
        return None
    last = ref
    for following in refs[refs.index(ref) + 1 :]:
        if not (is_mergeable(last) and is_mergeable(following)):
            break
        last = following
        if last == running:
            break
    return last if last != ref else None


def _id_of(body: Any) -> str:
    return text_of(unpack(body or b"")[1], ID)
