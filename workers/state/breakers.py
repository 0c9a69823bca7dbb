"""How the breakers stand that workers share: what the store holds of each."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, moment_at, named_values
from workers.state.used import names_used

__all__ = ["BreakerState", "breakers"]


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
    names = await names_used(store, store.keys.breakers(), (time.time() if now is None else now) * 1000)
    if not names:
        return ()
    keys = [store.keys.breaker(name) for name in names]
    found = checked(forgiven(await store.commands([("HGETALL", key) for key in keys]), keys, {}))
    return tuple(_state(name, _fields(hash_)) for name, hash_ in zip(names, found, strict=True))


def _fields(hash_: Any) -> dict[str, str]:
    pairs = named_values(hash_).items()
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
    return moment_at(millis) if (millis := _number(fields, name)) else None
