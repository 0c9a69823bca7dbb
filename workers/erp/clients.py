"""The clients of a worker: one for each publisher whose ERP the settings name."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar

from config.erp import ErpSettings
from config.errors import ConfigError
from config.settings import Settings, fold_slug
from router.events.event import Event
from workers.erp.erp import Connection, Erp
from workers.erp.errors import ErpNotSet, NoTenant
from workers.erp.metrics import ErpMetrics, Observed
from workers.erp.quota import Guard, Quota, Unguarded, Unlimited
from workers.erp.tokens import Tokens
from workers.erp.transport import open_transport
from workers.erp.writes import Writes

__all__ = ["Clients", "check_set", "erp_for", "open_clients"]

_clients: ContextVar["Clients | None"] = ContextVar("event-router-erp", default=None)


class Clients:
    """The ERPs that can be asked here, by publisher."""

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        self._connections = connections
        self._loop = asyncio.get_running_loop()

    def for_event(self, event: Event, quota: Quota | None = None, guard: Guard | None = None) -> Erp:
        """Return the ERP that an event came from, for its tenant; raises ErpNotSet, NoTenant.

        quota, guard: what is asked before its requests, where those are not the ones of handlers.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise ErpNotSet("the ERP is asked in the event loop of the worker: make the handler async, or use hydrate")
        connection = self._connections.get(fold_slug(event.publisher))
        if connection is None:
            raise ErpNotSet(f"no ERP is set for {event.publisher}: set {_advice(event.publisher, ErpSettings())}")
        tenant = event.tenant_id or connection.settings.tenant_id
        if not tenant:
            raise NoTenant(f"event {event.id} names no tenant; is there only one, set erp.{event.publisher}.tenant_id")
        return Erp(connection, tenant, event, quota, guard)


@asynccontextmanager
async def open_clients(
    settings: Settings,
    *,
    quota: Quota | None = None,
    breaker: Callable[[str], Guard] | None = None,
    writes: Writes | None = None,
    metrics: ErpMetrics | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] | None = None,
) -> AsyncIterator[Clients]:
    """Have `erp_for` work within: for workers, and for scripts and tests that call handlers themselves.

    breaker: what makes the breaker of a target, by its name: `erp.PUBLISHER`, and `erp.PUBLISHER.token` for its tokens.
    writes: what takes note of each write.
    """
    async with AsyncExitStack() as stack:
        connections = {}
        for slug, erp in settings.erp.items():
            if not erp.missing:
                observed = Observed(metrics, slug.replace("_", "-")) if metrics else None
                transport = await stack.enter_async_context(open_transport(erp, observed))
                name = f"erp.{slug.replace('_', '-')}"
                guard, at_token = (breaker(of) if breaker else Unguarded() for of in (name, f"{name}.token"))
                tokens = Tokens(erp, transport, monotonic, at_token)
                stack.push_async_callback(tokens.aclose)
                connection = Connection(erp, transport, tokens, quota or Unlimited(), guard, writes)
                connections[slug] = connection
                if sleep is not None:
                    connection.sleep = sleep
        clients = Clients(connections)
        before = _clients.set(clients)
        try:
            yield clients
        finally:
            _clients.reset(before)


@asynccontextmanager
async def erp_for(event: Event) -> AsyncIterator[Erp]:
    """Yield the ERP that an event came from, for its tenant and company; raises ErpNotSet, NoTenant.

    Within a handler, or within `open_clients`.
    """
    yield _current().for_event(event)


def current_erp(event: Event) -> Erp:
    """Return what `erp_for` yields."""
    return _current().for_event(event)


def _current() -> Clients:
    if (clients := _clients.get()) is None:
        raise ErpNotSet("no worker runs here: within `async with open_clients(load_settings())` the ERP can be asked")
    return clients


def check_set(settings: Settings, subscription: str, does: str, publishers: Iterable[str]) -> None:
    """Raise ConfigError where a subscription `wants records of` a publisher whose ERP is not set, or does else."""
    for slug in sorted(set(publishers)):
        if (erp := settings.erp_for(slug)).missing:
            raise ConfigError(f"subscription {subscription!r} {does} {slug}: set {_advice(slug, erp)}")


def _advice(slug: str, erp: ErpSettings) -> str:
    section = f"ROUTER_ERP__{slug.upper().replace('-', '_')}"
    return ", ".join(f"{section}__{name.upper()}" for name in erp.missing)
