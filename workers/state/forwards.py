"""What the store holds of forwards: where each goes, and how its last exchange ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, moment_at, named_values

__all__ = ["ACTOR", "BREAKER", "Deferral", "LastExchange", "last_exchanges", "note_exchanges"]

ACTOR = "event-router forward"
"""By whom a forward is paused whose receiver is gone."""

BREAKER = "forward."
"""What the names of the breakers of forwards begin with."""

_KEPT = 30 * 86_400
"""Seconds for which a forward is remembered that runs no more."""
_MOST = 1 << 53


class _Entry(msgspec.Struct, array_like=True):
    """What is kept of a forward, times in epoch milliseconds; what was written before may end after `seconds`."""

    host: str
    form: str
    at: int
    answer: str
    seconds: float
    since: int = 0
    until: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Deferral:
    """Since when and until when a receiver puts events off, by Retry-After, and what it answered."""

    since: datetime
    until: datetime
    reason: str

    def text(self) -> str:
        """Return it in words."""
        return f"since {self.since:%Y-%m-%d %H:%M:%S} until {self.until:%Y-%m-%d %H:%M:%S} UTC: {self.reason}"


@dataclass(frozen=True, slots=True)
class LastExchange:
    """How the last exchange of a forward ended: `answer` is its status, or what there was instead of one.

    host: of the receiver. form: what is posted. at: when it ended, None where there was none yet. seconds: how long it
    took. deferral: what the receiver put off, which may be over.
    """

    name: str
    host: str
    form: str
    at: datetime | None = None
    answer: str = ""
    seconds: float = 0.0
    deferral: Deferral | None = None


async def note_exchanges(store: Store, found: Sequence[LastExchange], gone: Sequence[str] = ()) -> None:
    """Write down forwards, in place of what was written of them, and forget those of the names in `gone`."""
    key = store.keys.forwards()
    pairs = [part for one in found for part in (one.name, _packed(one))]
    commands: list[tuple[Any, ...]] = [("HSET", key, *pairs), ("EXPIRE", key, _KEPT)] if pairs else []
    if gone:
        commands.append(("HDEL", key, *gone))
    checked(await store.commands(commands))


async def last_exchanges(store: Store) -> dict[str, LastExchange]:
    """Return what is known of forwards, in order of their names. Raises StoreUnavailable."""
    key = store.keys.forwards()
    (found,) = checked(forgiven(await store.commands([("HGETALL", key)]), [key], {}))
    texts = {name.decode(errors="backslashreplace"): text for name, text in named_values(found).items()}
    return {name: _read(name, texts[name]) for name in sorted(texts)}


def _packed(one: LastExchange) -> bytes:
    said = (one.host, one.form, _millis(one.at), one.answer, round(one.seconds, 4))
    if (later := one.deferral) is None:
        return msgspec.json.encode(said)
    return msgspec.json.encode((*said, _millis(later.since), _millis(later.until), later.reason))


def _read(name: str, text: bytes) -> LastExchange:
    """Read what was written; whatever somebody else wrote there is an exchange of which nothing is known."""
    try:
        found = msgspec.json.decode(text, type=_Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return LastExchange(name, "", "")
    since, until = _moment(found.since), _moment(found.until)
    deferral = Deferral(since, until, found.why) if since and until else None
    return LastExchange(name, found.host, found.form, _moment(found.at), found.answer, found.seconds, deferral)


def _millis(moment: datetime | None) -> int:
    return 0 if moment is None else round(moment.timestamp() * 1000)


def _moment(millis: int) -> datetime | None:
    return moment_at(millis) if 0 < millis < _MOST else None
