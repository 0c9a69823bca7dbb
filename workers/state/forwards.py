"""What the store holds of forwards: where each goes, and how its last exchange ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, moment_at, named_values

__all__ = ["ACTOR", "BREAKER", "LastExchange", "last_exchanges", "note_exchanges"]

ACTOR = "event-router forward"
"""By whom a forward is paused whose receiver is gone."""

BREAKER = "forward."
"""What the names of the breakers of forwards begin with."""

_KEPT = 30 * 86_400
"""Seconds for which a forward is remembered that runs no more."""
_MOST = 1 << 53


@dataclass(frozen=True, slots=True)
class LastExchange:
    """How the last exchange of a forward ended: `answer` is its status, or what there was instead of one.

    host: of the receiver. form: what is posted. at: when it ended, None where there was none yet. seconds: how long it
    took.
    """

    name: str
    host: str
    form: str
    at: datetime | None = None
    answer: str = ""
    seconds: float = 0.0


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
    at = 0 if one.at is None else round(one.at.timestamp() * 1000)
    return msgspec.json.encode([one.host, one.form, at, one.answer, round(one.seconds, 4)])


def _read(name: str, text: bytes) -> LastExchange:
    """Read what was written; whatever somebody else wrote there is an exchange of which nothing is known."""
    try:
        host, form, at, answer, seconds = msgspec.json.decode(text, type=tuple[str, str, int, str, float])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return LastExchange(name, "", "")
    moment = moment_at(at) if 0 < at < _MOST else None
    return LastExchange(name, host, form, moment, answer, seconds)
