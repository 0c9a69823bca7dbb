"""How long the system takes to work again once a fault is over, with nobody's help."""

import asyncio
import time
from dataclasses import dataclass, field

from faults.fleet import Fleet

__all__ = ["Recovery", "until_recovered"]

_LOOK = 0.02


@dataclass(slots=True)
class Recovery:
    """Seconds until the system worked again, and until each of its parts did; `missing` never did."""

    first: float | None = None
    whole: float | None = None
    missing: list[str] = field(default_factory=list)


async def until_recovered(fleet: Fleet, since: float, patience: float = 60.0) -> Recovery:
    """Wait until everything works, for at most `patience` seconds.

    The system works when every ingress has answered 2xx to a request sent after `since` and every subscription has
    handled an event after it; all of it does when each worker has, for each of its subscriptions.
    """
    recovery = Recovery()
    while recovery.whole is None:
        fleet.ledger.refresh()
        missing = _ingresses(fleet, since) + _subscriptions(fleet, since)
        if not missing and recovery.first is None:
            recovery.first = time.monotonic() - since
        recovery.missing = missing or _workers(fleet, since)
        if not recovery.missing:
            recovery.whole = time.monotonic() - since
        elif time.monotonic() - since > patience:
            return recovery
        await asyncio.sleep(_LOOK)
    return recovery


def _ingresses(fleet: Fleet, since: float) -> list[str]:
    return [member.name for url, member in fleet.urls.items() if fleet.journal.last_accepted.get(url, 0.0) < since]


def _subscriptions(fleet: Fleet, since: float) -> list[str]:
    return [name for name in fleet.subscriptions if fleet.ledger.last_handled(name) < since]


def _workers(fleet: Fleet, since: float) -> list[str]:
    return [
        f"{member.name}/{name}"
        for member in fleet.workers
        for name in fleet.subscriptions
        if fleet.ledger.last_handled(name, member.pid) < since
    ]
