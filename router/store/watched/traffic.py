"""What came to the ingresses, hour by hour: the script that notes it, and reading it again.

A subject is a publisher (`visma-net-financial`), or a publisher and a company (`visma-net-financial/7`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

from router.store.client import Store
from router.store.errors import forgiven
from router.store.keys import Keys
from router.store.reading import checked, named_values
from router.store.scripts import BATCH, Call, Field, Script

__all__ = [
    "HOUR",
    "KEPT",
    "MOST",
    "SLOT",
    "SLOTS",
    "Came",
    "Hour",
    "Refused",
    "Spooled",
    "hours",
    "note",
    "refusals",
    "spools",
]

HOUR: Final = 3_600_000
SLOT: Final = 300_000
"""Milliseconds: that an ingress listened is known for each five minutes."""
SLOTS: Final = HOUR // SLOT
MOST: Final = 5_000
"""Most companies of which it is known in one hour that they sent something."""
KEPT: Final = 3 * 24 * HOUR
"""Milliseconds for which an hour is kept."""
_LISTENED: Final = b"listened"

_script = cache(Script)


class Came(NamedTuple):
    """How many events a subject sent, and when the last of them came, epoch milliseconds."""

    events: int
    last: int


class Refused(NamedTuple):
    """How many requests of a publisher were refused since one was accepted; times in epoch milliseconds."""

    requests: int
    since: int
    last: int
    reason: str


class Spooled(NamedTuple):
    """What one spool holds; `since` something waits in it, and `at` that moment it was so, in epoch milliseconds."""

    entries: int
    bytes: int
    most: int
    since: int
    at: int


@dataclass(frozen=True, slots=True)
class Hour:
    """What came within one hour, by subject, in which of its five minutes an ingress listened, and who may send."""

    came: Mapping[str, Came] = field(default_factory=dict)
    slots: str = "0" * SLOTS
    ready: frozenset[str] = frozenset()

    @property
    def listened(self) -> float:
        """Which part of the hour an ingress listened."""
        return self.slots.count("1") / SLOTS


def note(
    keys: Keys,
    hour: int,
    slots: str,
    process: str,
    spooled: Spooled | None,
    came: Mapping[str, Came],
    refused: Mapping[str, Refused],
) -> list[Call]:
    """Note what came in an hour (counted since 1970). Reply of each: how many companies were left out.

    Of a publisher from which nothing came the ingress may take something all the same: with 0 events it says so.
    """
    names = (keys.traffic(hour), keys.refusals(), keys.spools())
    spool = " ".join(map(str, spooled)) if spooled else ""
    rows = [(subject.encode(errors="replace"), *one) for subject, one in came.items()]
    # Publishers come first: what was refused before one of their requests was accepted counts no more.
    parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)] or [[]]
    more = [part for publisher, one in refused.items() for part in (publisher, *one)]
    calls = list[Call]()
    for place, part in enumerate(parts):
        args: list[Field] = [KEPT, MOST, slots, process, spool, len(part), *(each for row in part for each in row)]
        calls.append(Call(_script("traffic/note"), names, [*args, *(more if place == 0 else ())]))
    return calls


async def hours(store: Store, wanted: Sequence[int]) -> list[Hour]:
    """Return what came in each of these hours, in one round trip; raises StoreUnavailable."""
    names = [store.keys.traffic(hour) for hour in wanted]
    found = checked(forgiven(await store.commands([("HGETALL", name) for name in names]), names, {}))
    return [_hour(named_values(each)) for each in found]


async def refusals(store: Store) -> dict[str, Refused]:
    """Return the publishers of which all requests were refused since one was accepted; raises StoreUnavailable."""
    rows = await _texts(store, store.keys.refusals())
    return {name: Refused(*row) for name, row in rows.items() if len(row) == len(Refused._fields)}


async def spools(store: Store) -> dict[str, Spooled]:
    """Return what the spools hold that hold something, by process; raises StoreUnavailable."""
    rows = await _texts(store, store.keys.spools())
    return {name: Spooled(*map(int, row)) for name, row in rows.items() if len(row) == len(Spooled._fields)}


def _hour(found: Mapping[bytes, bytes]) -> Hour:
    slots = found.get(_LISTENED, b"").decode(errors="replace")
    known = {name.decode(errors="replace"): one for name, text in found.items() if (one := _came(text))}
    came = {subject: one for subject, one in known.items() if one.events}
    ready = frozenset(subject for subject in known if "/" not in subject)
    return Hour(came, slots if len(slots) == SLOTS else "0" * SLOTS, ready)


def _came(text: bytes) -> Came | None:
    parts = text.split(b" ")
    return Came(int(parts[0]), int(parts[1])) if len(parts) == 2 and all(map(bytes.isdigit, parts)) else None  # noqa: PLR2004


async def _texts(store: Store, key: str) -> dict[str, list[Any]]:
    """Return the fields of a hash, each cut at its blanks, with its numbers as such; none that is no text of ours."""
    (found,) = checked(forgiven(await store.commands([("HGETALL", key)]), [key], {}))
    cut = {name.decode(errors="replace"): text.decode(errors="replace") for name, text in named_values(found).items()}
    rows = {name: [int(part) if part.isdecimal() else part for part in text.split(" ")] for name, text in cut.items()}
    return {name: row for name, row in rows.items() if all(isinstance(part, int) for part in row[:3])}
