"""How the forwards are: where each goes, whether it runs, and how its last exchange ended."""

from dataclasses import dataclass
from datetime import UTC, datetime

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.figures import Row, figures
from workers.state.breakers import BreakerState
from workers.state.forwards import ACTOR, BREAKER, Deferral, LastExchange, last_exchanges
from workers.state.pauses import Pause

__all__ = ["ForwardState", "forwards"]


@dataclass(frozen=True, slots=True)
class ForwardState:
    """One forward; None stands for what is not known.

    host: of its receiver. format: what is posted. last, last_at, seconds: the status of the last exchange or what there
    was instead, when it ended, and how long it took. deferral: what its receiver puts off now. workers: processes that
    run it. lag, scheduled, dead: events.
    """

    name: str
    host: str
    format: str
    last: str
    last_at: datetime | None
    seconds: float
    deferral: Deferral | None
    pause: Pause | None
    breaker: BreakerState | None
    workers: int
    lag: int
    scheduled: int
    dead: int

    @property
    def is_gone(self) -> bool:
        """Whether it is paused since its receiver answered 410."""
        return self.pause is not None and self.pause.by == ACTOR

    @property
    def is_down(self) -> bool:
        """Whether its breaker is open."""
        return self.breaker is not None and self.breaker.is_open

    @property
    def state(self) -> str:
        """`gone`, `paused`, `stopped` (no process runs it), `down` (its breaker is open), `deferred` or `running`."""
        if self.pause is not None:
            return "gone" if self.is_gone else "paused"
        if not self.workers:
            return "stopped"
        if self.is_down:
            return "down"
        return "running" if self.deferral is None else "deferred"


async def forwards(store: Store, catalogue: Catalogue, settings: Settings) -> list[ForwardState]:
    """Return the forwards of these settings, and others that have run and whose subscriptions are still there.

    In order of name. Raises StoreUnavailable.
    """
    named = {one.name: LastExchange(one.name, one.host, one.format) for one in settings.forward}
    found = await figures(store, catalogue, settings.workers.lease)
    rows, breakers = {row.name: row for row in found.rows}, {breaker.name: breaker for breaker in found.breakers}
    last = await last_exchanges(store)
    known = named | {name: one for name, one in last.items() if name in named or name in rows}
    return [_state(known[name], rows.get(name), breakers.get(f"{BREAKER}{name}")) for name in sorted(known)]


def _state(last: LastExchange, row: Row | None, breaker: BreakerState | None) -> ForwardState:
    lag, scheduled, dead = (row.total(figure) if row else 0 for figure in ("lag", "scheduled", "dead"))
    return ForwardState(
        name=last.name,
        host=last.host,
        format=last.form,
        last=last.answer,
        last_at=last.at,
        seconds=last.seconds,
        deferral=last.deferral if last.deferral and last.deferral.until > datetime.now(UTC) else None,
        pause=row.pause if row else None,
        breaker=breaker,
        workers=len(row.workers) if row else 0,
        lag=lag,
        scheduled=scheduled,
        dead=dead,
    )
