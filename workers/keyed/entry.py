"""The forms of an event in its line: where it stands, what it carries, and the delivery that a worker makes of it."""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from router.store.lines import Claim
from router.store.reading import moment_of
from router.store.record import (
    AT,
    ATTEMPTS,
    CRASHES,
    DEFERRED,
    GENERATION,
    HISTORY,
    ID,
    MERGED,
    ORDER,
    REASON,
    Fields,
    millis_of,
    number_of,
    text_of,
)
from router.store.scripts import Field
from workers.deferrals import read_deferrals
from workers.delivery import Held, Merged, error_line, extended, joined
from workers.outcomes import WorkerLost

BURIAL = b"burial"
"""The field that names the one burial of an event, in its line alone: an event may be dead again in another life."""
SKIPPED = b"skipped"
"""The field, in its line alone, of a dead letter that an operator makes for its key to go on: it holds nothing."""

_HEAD = 4
"""Parts of a body in front of the fields."""
_ID = re.compile(rb"(\d{1,20})-(\d{1,20})")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


def place_of(entry_id: bytes) -> str:
    """Return an entry id as text that sorts as the ids do."""
    millis, number = entry_id.split(b"-")
    return f"{int(millis):020}-{int(number):020}"


def ref_of(stream: str, entry_id: bytes, fields: Fields, *, inbox: bool, may_be_merged: bool) -> bytes:
    """Return what names and orders an event in its line: see lib/lines.lua.

    What comes from an inbox has the place that it had in its stream, as far as that is known.
    """
    found = _ID.fullmatch(fields.get(ORDER, b"")) if inbox else _ID.fullmatch(entry_id)
    millis, number = (int(found[1]), int(found[2])) if found else (millis_of(fields), 0)
    again = b"." + place_in_line(entry_id.decode()) if inbox else b""
    kind = "m" if may_be_merged else "o"
    return place_in_line(f"{millis}-{number}") + again + f"{kind}/{stream}".encode()


def stream_of(ref: bytes) -> str:
    """Return the stream of an event in its line."""
    return ref.partition(b"/")[2].decode()


def order_of(ref: bytes) -> str:
    """Return the id of the event's entry in its stream."""
    millis, number = re.split(rb"[-.mo]", ref, maxsplit=2)[:2]
    return f"{int(millis)}-{int(number)}"


def place_in_line(entry_id: str) -> bytes:
    """Return what the ref of an event begins with that has this entry in its stream."""
    millis, number = entry_id.split("-")
    return f"{int(millis):013}-{int(number):06}".encode()


def is_mergeable(ref: bytes) -> bool:
    """Return whether an event in its line may be merged into a later one."""
    return ref.partition(b"/")[0].endswith(b"m")


def is_replayed(ref: bytes) -> bool:
    """Return whether an event in its line came from the inbox."""
    return b"." in ref.partition(b"/")[0]


def came_at(ref: bytes) -> datetime:
    """Return when an event in its line came to its stream or, replayed, to the inbox."""
    place, _, again = ref.partition(b"/")[0][:-1].partition(b".")
    return moment_of(again or place)


def new_burial() -> bytes:
    """Return the name of a burial that no other has."""
    return secrets.token_hex(8).encode()


def pack(company: bytes, fields: Sequence[Field], *, doomed: bool = False) -> bytes:
    """Return the body of an event in its line, from names and values in a row: see BODIES in lib/lines.lua."""
    parts = [part if isinstance(part, bytes) else str(part).encode(errors="backslashreplace") for part in fields]
    known = dict(zip(parts[::2], parts[1::2], strict=True))
    came = b" ".join(filter(None, (known.get(AT), known.get(GENERATION))))
    head = (company, known.get(ID, b""), came, (b"1" if doomed else b"0") + _story(known))
    return b"\0".join([*(part.replace(b"\0", b" ") for part in head), _pack(parts)])


def _story(fields: Fields) -> bytes:
    """Return how often an event was handed out, and how many it has stood for besides itself, where there is any."""
    tried, before = _tried(fields), len(merged_before(fields))
    return b" %d %d" % (tried, before) if tried or before else b""


def unpack(body: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the company and the fields of a body; no fields where it is none of ours."""
    company, _, _, _, packed = (*body.split(b"\0", 4), b"", b"", b"", b"")[:5]
    try:
        parts = _unpack(packed)
    except msgspec.MsgspecError:
        parts = []
    return company, dict(zip(parts[::2], parts[1::2], strict=False))


def is_doomed(body: bytes) -> bool:
    """Return whether the event of a body is noted to be a dead letter."""
    *_, flag, _ = body.split(b"\0", 4) if body.count(b"\0") >= _HEAD else (b"", b"")
    return flag.startswith(b"1")


class LineHeld(Held):
    """A delivery that was claimed from its line; `refs` are those of all events that it stands for, its own last."""

    __slots__ = ("_burial", "_merged", "claim", "company", "refs")

    def __init__(
        self, claim: Claim, ref: bytes, body: bytes, crashes: int, others: Sequence[bytes], *, now: float, clock: float
    ) -> None:
        self.claim = claim
        self.company, fields = unpack(body)
        events = [*zip(others[::2], others[1::2], strict=True)]
        self._burial = fields.get(BURIAL, b"") if REASON in fields else None
        if REASON in fields:  # what came since it was noted to be dead is not named there, and does not end with it
            self._merged = tuple(_named(fields))
            named = {*self._merged}
            events = [(ref, said) for ref, said in events if _merged(ref, said) in named]
        else:
            self._merged = _stands_for(fields, events)
            fields = _with_attempts(fields, [unpack(said)[1] for _, said in events if _is_whole(said)])
        self.refs = [*(ref for ref, _ in events), ref]
        super().__init__(stream_of(ref), ref, _with_crashes(fields, crashes, clock), inbox=False, touched=now)

    @property
    def burial(self) -> bytes:
        """The name of its burial: the one that it was noted to be dead with, else one that no other has."""
        if self._burial is None:
            self._burial = new_burial()
        return self._burial

    @property
    def merged(self) -> tuple[Merged, ...]:
        """The events that it stands for besides its own, oldest first."""
        return self._merged

    @property
    def stands_for(self) -> int:
        """How many events of its line end with it."""
        return len(self.refs)

    def placed(self) -> list[Field]:
        """Return the fields to put it into an inbox with, from which it comes to its place again."""
        fields = self.moved()
        return fields if ORDER in self.fields else [*fields, ORDER, order_of(self.entry_id)]

    def buried(self) -> list[Field]:
        """Return the further fields of a dead letter: its place, its burial, and what was merged into it."""
        fields: list[Field] = [ORDER, order_of(self.entry_id), BURIAL, self.burial]
        if self._merged:
            rows = [
                [merged.id, merged.type, round(merged.at.timestamp() * 1000), merged.publisher, merged.generation]
                for merged in self._merged
            ]
            fields += [MERGED, json.dumps(rows)]
        return fields


def _stands_for(fields: Fields, events: Sequence[tuple[bytes, bytes]]) -> tuple[Merged, ...]:
    """Return what a delivery with these fields stands for, and what each of that has stood for, oldest first."""
    found, further = [], merged_before(fields)
    for ref, said in events:
        found.append(_merged(ref, said))
        if _is_whole(said):
            further += merged_before(unpack(said)[1])
    if not further:
        return tuple(found)
    return tuple(sorted(dict.fromkeys([*further, *found]), key=lambda merged: merged.at))


def _is_whole(said: bytes) -> bool:
    """Return whether this is the body of an event, not its head alone: see merged in lib/lines.lua."""
    return said.count(b"\0") > 2  # noqa: PLR2004 - the head has company, id and at


def _merged(ref: bytes, said: bytes) -> Merged:
    _, id_, came, *_ = (*said.split(b"\0", 3), b"", b"")
    at, _, generation = came.partition(b" ")
    moment = datetime.fromtimestamp(millis_of({AT: at}) / 1000, UTC)
    publisher, _, type_ = stream_of(ref).partition("/")
    return Merged(id_.decode(errors="replace"), type_, moment, publisher, generation.decode(errors="replace"))


def merged_before(fields: Mapping[bytes, bytes]) -> list[Merged]:
    """Return what a dead letter that was replayed stood for: the replay is one of all that."""
    generation = text_of(fields, GENERATION)
    return [merged._replace(generation=generation) for merged in _named(fields)]


def _named(fields: Fields) -> list[Merged]:
    """Return what a dead letter stands for besides its own event."""
    if MERGED not in fields:
        return []
    try:
        rows: list[Any] = json.loads(fields[MERGED])
        return [
            Merged(str(id_), str(kind), datetime.fromtimestamp(at / 1000, UTC), *map(str, more[:2]))
            for id_, kind, at, *more in rows
        ]
    except (ValueError, TypeError, OverflowError, OSError, RecursionError):
        return []


def _with_attempts(fields: dict[bytes, bytes], others: Sequence[Fields]) -> dict[bytes, bytes]:
    """Return the fields with the attempts and deferrals of the most tried: a newer event does not start over."""
    most = max([fields, *others], key=_tried) if others else fields
    if most is fields or not _tried(most):
        return fields
    history = joined(most.get(HISTORY, b""), fields.get(HISTORY, b""))
    known = {name: most[name] for name in (ATTEMPTS, CRASHES, DEFERRED) if name in most}
    return {**fields, **known, **({HISTORY: history} if history else {})}


def _tried(fields: Fields) -> int:
    """Return how often an event was handed out without an end: attempts, crashes and deferrals."""
    deferrals = read_deferrals(fields.get(DEFERRED))
    used = number_of(fields.get(ATTEMPTS)) + number_of(fields.get(CRASHES))
    return used + (deferrals.times if deferrals else 0)


def _with_crashes(fields: dict[bytes, bytes], crashes: int, clock: float) -> dict[bytes, bytes]:
    """Return the fields with the workers that are thought to have died of it, each of which has its line of history."""
    known = number_of(fields.get(CRASHES))
    if crashes <= known:
        return fields
    lost = WorkerLost("the worker died or lost its lease with the event in its hands")
    history = fields.get(HISTORY, b"")
    for _ in range(crashes - known):
        history = extended(history, error_line(lost, number_of(fields.get(ATTEMPTS)), clock))
    return {**fields, CRASHES: str(crashes).encode(), HISTORY: history}
