"""How the quotas stand that workers share: what the store holds of each limit."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, moment_at, named_values
from workers.state.used import names_used

__all__ = ["LimitState", "QuotaState", "limits"]

State = Literal["open", "used up", "refused", "unknown"]
"""`refused`: the other side wants no calls for a while; `unknown`: the next answer says how much there is."""

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class QuotaState:
    """The quota of one subject: None stands for what is not known.

    limit, left: calls of the window that ends at `resets_at`; of a fixed rate, between two windows, of the next one,
    which begins with the next call. closed_until: until when nobody calls.
    """

    subject: str
    state: State
    limit: int | None
    left: int | None
    resets_at: datetime | None
    closed_until: datetime | None
    used_at: datetime

    @property
    def waits(self) -> bool:
        """Whether calls are deferred."""
        return self.state in ("used up", "refused")


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit: the quotas that were used within the last day, and by how many workers it is shared."""

    name: str
    workers: int
    quotas: tuple[QuotaState, ...]

    @property
    def waiting(self) -> int:
        """How many quotas are used up or refused."""
        return sum(quota.waits for quota in self.quotas)


async def limits(store: Store, *, now: float | None = None) -> list[LimitState]:
    """Return all limits in order of name, in three round trips; `now` in epoch seconds. Raises StoreUnavailable."""
    millis = (time.time() if now is None else now) * 1000
    names = await names_used(store, store.keys.limits(), millis)
    keys = [key for name in names for key in (store.keys.limited(name), store.keys.limited_by(name))]
    members = [("ZRANGEBYSCORE", key, "-inf", "+inf", "WITHSCORES", "LIMIT", 0, _MOST) for key in keys]
    found = checked(forgiven(await store.commands(members), keys, []))
    subjects = [(name, *row) for name, rows in zip(names, found[::2], strict=True) for row in _pairs(rows)]
    hashes = [store.keys.quota(name, subject) for name, subject, _ in subjects]
    quotas = checked(forgiven(await store.commands([("HGETALL", key) for key in hashes]), hashes, {}))
    rows: dict[str, list[QuotaState]] = {name: [] for name in names}
    for (name, subject, used), quota in zip(subjects, quotas, strict=True):
        rows[name].append(_state(subject, used, _numbers(quota), millis))
    workers = dict(zip(names, (len(_pairs(each)) for each in found[1::2]), strict=True))
    return [
        LimitState(name, workers[name], tuple(sorted(rows[name], key=lambda quota: quota.subject))) for name in names
    ]


def _pairs(rows: Sequence[Any]) -> list[tuple[str, float]]:
    """Return members and scores, whichever form the server's protocol gives them."""
    pairs = rows if not rows or isinstance(rows[0], list | tuple) else zip(rows[::2], rows[1::2], strict=False)
    return [(member.decode(errors="replace"), float(score)) for member, score in pairs]


def _numbers(quota: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in named_values(quota).items():
        try:
            found[name.decode(errors="replace")] = float(value)
        except ValueError:
            continue
    return found


def _state(subject: str, used: float, quota: Mapping[str, float], now: float) -> QuotaState:
    reset, closed = quota.get("reset", 0.0), quota.get("closed", 0.0)
    limit, left, rate = int(quota.get("limit", 0)), max(0, int(quota.get("left", 0))), int(quota.get("rate", 0))
    lasts = reset > now
    if rate and not lasts:
        limit = left = rate
    known = lasts or rate > 0
    state: State = "open"
    if closed > now:
        state = "refused"
    elif not known:
        state = "unknown"
    elif left - 1 < int(quota.get("reserve", 0.0) * limit):
        state = "used up"
    return QuotaState(
        subject,
        state,
        limit if known else None,
        left if known else None,
        moment_at(reset) if lasts else None,
        moment_at(closed) if closed > now else None,
        moment_at(used),
    )
