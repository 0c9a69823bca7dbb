"""How the breakers stand that workers share: what the store holds of each."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked

__all__ = ["BreakerState", "breakers"]

_KEPT = 30 * 86_400_000  # milliseconds


@dataclass(frozen=True, slots=True)
class BreakerState:
    """One breaker; None stands for what is not known.

    since: when it last opened or closed. failures: in a row. failed_at, reason: of the last of them. probe_at: from
    when on the next probe may go.
    """

    name: str
    is_open: bool
    since: datetime | None
    failures: int
    failed_at: datetime | None
    reason: str
    probe_at: datetime | None

    @property
    def state(self) -> str:
        """`open` or `closed`."""
        return "open" if self.is_open else "closed"


async def breakers(store: Store, *, now: float | None = None) -> tuple[BreakerState, ...]:
    """Return all breakers in order of name, in two round trips; `now` in epoch seconds. Raises StoreUnavailable."""
    since = (time.time() if now is None else now) * 1000 - _KEPT
    key = store.keys.breakers()
    members = checked(forgiven(await store.commands([("ZRANGEBYSCORE", key, f"{since:.0f}", "+inf")]), [key], []))[0]
    names = sorted(name.decode(errors="replace") for name in members)
    if not names:
        return ()
    keys = [store.keys.breaker(name) for name in names]
    found = checked(forgiven(await store.commands([("HGETALL", key) for key in keys]), keys, {}))
    return tuple(_state(name, _fields(hash_)) for name, hash_ in zip(names, found, strict=True))


def _fields(hash_: Mapping[bytes, bytes] | Sequence[bytes]) -> dict[str, str]:
    pairs = hash_.items() if isinstance(hash_, Mapping) else zip(hash_[::2], hash_[1::2], strict=False)
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}


def _state(name: str, fields: Mapping[str, Any]) -> BreakerState:
    is_open, failures = _number(fields, "opened") > 0, _number(fields, "failures")
    return BreakerState(
        name,
        is_open,
        _moment(fields, "since"),
        int(failures),
        _moment(fields, "last") if failures else None,
        fields.get("reason", "") if failures else "",
        _moment(fields, "next") if is_open else None,
    )


def _number(fields: Mapping[str, Any], name: str) -> float:
    try:
        return min(max(0.0, float(fields.get(name, 0))), 1e14)
    except ValueError:
        return 0.0


def _moment(fields: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromtimestamp(millis / 1000, UTC) if (millis := _number(fields, name)) else None
