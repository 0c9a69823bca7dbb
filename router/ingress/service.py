"""Ingress as a process: its port, its operations port, and its orderly end."""

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

import structlog

from config.errors import ConfigError, described
from config.settings import IngressSettings, Settings
from router.embedded.access import open_store
from router.events.catalogue import Catalogue
from router.http.listener import Listener
from router.http.server import Server
from router.ingress.app import Ingress
from router.ingress.metrics import IngressMetrics
from router.ingress.reload import IngressReload, report_unsecured
from router.intake.intake import Intake
from router.intake.spool import Spool
from router.process.descriptors import for_webhooks
from router.process.ops import OpsServer
from router.process.reload import Reload
from router.process.signals import watch_parent
from router.process.started import say_started
from router.store.client import STORE_ERRORS, Store
from router.store.health.guard import StoreGuard, guarded
from router.tasks.ending import end, in_time
from router.telemetry.identity import process_name
from router.telemetry.process_metrics import new_registry
from router.telemetry.tracing import open_tracing

if TYPE_CHECKING:
    from router.telemetry.spans import Tracing

__all__ = ["bind", "serve_ingress", "store_check"]

_ANSWER = 0.8
"""Seconds to wait for the store when asked for readiness: who asks waits for one itself, most often, and must not take
an ingress that spools while the store hangs for one that hangs."""

log = structlog.get_logger("ingress")


async def serve_ingress(
    settings: Settings, stop: asyncio.Event, reload: asyncio.Event | None = None, *, reuse_port: bool = False
) -> None:
    """Receive webhooks until `stop` is set; then finish what is in hand. Read secrets again whenever `reload` is set.

    Raises ConfigError when the port is taken or the store is not safe, RouterError when the embedded server cannot be
    started.
    """
    watch_parent(stop.set)
    catalogue = Catalogue.for_settings(settings)
    report_unsecured(settings, catalogue)
    listener = bind(settings.ingress, reuse_port=reuse_port)
    try:
        async with (
            open_tracing(settings.tracing, "ingress") as tracing,
            open_store(settings, timeout=settings.ingress.store_timeout) as store,
            guarded(store, settings, stop, "ingress") as guard,
            Intake.open(settings, store, guard) as intake,
        ):
            await _serve(settings, catalogue, store, guard, intake, listener, stop, tracing, reload or asyncio.Event())
    finally:
        listener.close()


async def _serve(
    settings: Settings,
    catalogue: Catalogue,
    store: Store,
    guard: StoreGuard,
    intake: Intake,
    listener: socket.socket,
    stop: asyncio.Event,
    tracing: "Tracing | None",
    reload: asyncio.Event,
) -> None:
    limits = settings.ingress
    registry = new_registry("ingress")
    registry.register(guard)
    metrics = IngressMetrics(registry)
    metrics.watch_batches(intake.batch)
    if intake.spool is not None:
        metrics.watch(intake.spool)
    ingress = _ingress(settings, catalogue, intake, metrics, tracing)
    ingress_reload = IngressReload(ingress, settings, catalogue, registry)
    server = Server(ingress, limits)
    shed = metrics.watch_connections(server.connections)

    async def readiness() -> dict[str, bool | str]:
        return await _readiness(store, intake.spool)

    name = process_name()
    ops = OpsServer(
        settings.ops.host,
        settings.ops.port,
        readiness,
        registry,
        role="ingress",
        name=name,
        warnings=guard.warnings,
        token=settings.ops.token,
    )
    listening = Listener([listener], server, for_webhooks, port="webhooks", shed=shed)
    listening.start()
    reloading = asyncio.create_task(Reload(settings, ingress_reload.apply, done=ingress_reload.reloaded).run(reload))
    try:
        host, port = listener.getsockname()[:2]
        log.info("ingress_started", name=name, host=host, port=port, ops_port=await ops.start())
        say_started()
        await stop.wait()
        log.info("ingress_stopping")
        ops.not_ready("stopping")
    finally:
        await end([reloading])
        listening.close()
        server.close()
        await server.finish(limits.shutdown_timeout)
        await intake.appender.drain()
        server.abort()
        await intake.finish(limits.shutdown_timeout)
        await ops.stop()
    log.info("ingress_stopped")


def _ingress(
    settings: Settings, catalogue: Catalogue, intake: Intake, metrics: IngressMetrics, tracing: "Tracing | None"
) -> Ingress:
    if tracing is None:
        return Ingress(settings, catalogue, intake.appender, metrics)
    from router.ingress.traced import TracedIngress  # noqa: PLC0415 - needs the extra `otel`, which is there

    return TracedIngress(settings, catalogue, intake.appender, metrics, tracing=tracing)


def bind(settings: IngressSettings, *, reuse_port: bool = False) -> socket.socket:
    """Return a socket bound to the ingress port, not yet listening; raises ConfigError when that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.setblocking(False)
            bound.bind(address)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {where} is taken: stop what listens there, or set ROUTER_INGRESS__PORT") from error
        raise ConfigError(
            f"cannot listen on {where} ({error.strerror}): set ROUTER_INGRESS__HOST and __PORT"
        ) from error
    return bound


async def _readiness(store: Store, spool: Spool | None) -> dict[str, bool | str]:
    """Return whether webhooks can be accepted: with room in the spool, also while the store is away."""
    if spool is not None and spool.is_full:
        return {"store": spool.reason or True, "spool": f"takes nothing: {spool.refusal}"}
    if spool is not None and spool.reason:
        return {"store": f"ok: {spool.entries} events are spooled, for it does not take them ({spool.reason})"}
    checks = await store_check(store)
    if spool is None or checks["store"] is True:
        return checks
    return {"store": f"ok: events will be spooled ({checks['store']})"}


async def store_check(store: Store) -> dict[str, bool | str]:
    """Return the readiness check that asks whether the store answers."""
    try:
        await in_time(_ANSWER, store.command("PING"))
    except TimeoutError:
        return {"store": f"no answer within {_ANSWER:g} s"}
    except STORE_ERRORS as error:
        return {"store": described(error)}
    return {"store": True}
