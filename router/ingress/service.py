"""Ingress as a process: its port, its operations port, and its orderly end."""

import asyncio
import errno
import socket
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from config.errors import ConfigError
from config.settings import IngressSettings, Settings
from router.embedded.access import open_store
from router.events.catalogue import Catalogue
from router.http.connection import Limits
from router.http.listener import Listener
from router.http.server import Server
from router.ingress.app import Ingress
from router.ingress.metrics import IngressMetrics
from router.ingress.reload import IngressReload, report_unsecured
from router.ingress.traffic import Traffic, TrafficNotes
from router.intake.intake import Intake
from router.intake.spool import Spool
from router.process.descriptors import for_webhooks
from router.process.ops import OpsServer
from router.process.reload import Reload
from router.process.signals import watch_parent
from router.process.supervisor import say_started
from router.store.client import Store
from router.store.health.guard import StoreGuard, guarded
from router.store.health.survey import store_check
from router.tasks.ending import end
from router.telemetry.identity import new_registry, process_name
from router.telemetry.tracing import open_tracing

if TYPE_CHECKING:
    from router.telemetry.spans import Tracing

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
            process = IngressProcess(settings, catalogue, intake, tracing)
            ops = _ops(process.registry, settings, store, guard, intake.spool)
            async with _noting(settings, process, store, guard, ops.name, intake.spool):
                await process.run(listener, ops, stop, reload)
    finally:
        listener.close()


class IngressProcess:
    """The parts of a running ingress: the route, the connections to it, and their metrics, which are in `registry`."""

    def __init__(self, settings: Settings, catalogue: Catalogue, intake: Intake, tracing: "Tracing | None") -> None:
        self.registry = new_registry("ingress")
        self.traffic = Traffic()
        metrics = IngressMetrics(self.registry)
        metrics.watch_batches(intake.batch)
        if intake.spool is not None:
            metrics.watch(intake.spool)
        ingress = _ingress(settings, catalogue, intake, metrics, self.traffic, tracing)
        taking_over = IngressReload(ingress, settings, catalogue, self.registry)
        self.ready = taking_over.ready
        self._reload = Reload(settings, taking_over.apply, done=taking_over.reloaded)
        self._intake = intake
        self._grace = settings.ingress.shutdown_timeout
        self._server = Server(ingress, _limits(settings.ingress))
        self._shed = metrics.watch_connections(self._server.connections)

    async def run(
        self, bound: socket.socket, ops: OpsServer, stop: asyncio.Event, reload: asyncio.Event | None = None
    ) -> None:
        """Answer on a bound port until `stop` is set, and finish then; read secrets again whenever `reload` is set."""
        listening = Listener([bound], self._server, for_webhooks, port="webhooks", shed=self._shed)
        listening.start()
        reloading = asyncio.create_task(self._reload.run(reload or asyncio.Event()))
        try:
            host, port = bound.getsockname()[:2]
            log.info("ingress_started", name=ops.name, host=host, port=port, ops_port=await ops.start())
            say_started()
            await stop.wait()
            log.info("ingress_stopping")
            ops.not_ready("stopping")
        finally:
            await end([reloading])
            await self._finish(listening)
            await ops.stop()
        log.info("ingress_stopped")

    async def _finish(self, listening: Listener) -> None:
        """Accept nothing more, and answer and store what is in hand."""
        listening.close()
        self._server.close()
        await self._server.finish(self._grace)
        await self._intake.appender.drain()
        self._server.abort()
        await self._intake.finish(self._grace)


def _limits(settings: IngressSettings) -> Limits:
    return Limits(settings.header_timeout, settings.body_timeout, settings.keepalive, settings.max_body)


def _ops(
    registry: CollectorRegistry, settings: Settings, store: Store, guard: StoreGuard, spool: Spool | None
) -> OpsServer:
    registry.register(guard)
    readiness, name = partial(_readiness, store, spool), process_name()
    return OpsServer(settings.ops, readiness, registry, role="ingress", name=name, warnings=guard.warnings)


def _ingress(
    settings: Settings,
    catalogue: Catalogue,
    intake: Intake,
    metrics: IngressMetrics,
    traffic: Traffic,
    tracing: "Tracing | None",
) -> Ingress:
    if tracing is None:
        return Ingress(settings, catalogue, intake.appender, metrics, traffic=traffic)
    from router.ingress.traced import TracedIngress  # noqa: PLC0415 - needs the extra `otel`, which is there

    return TracedIngress(settings, catalogue, intake.appender, metrics, traffic=traffic, tracing=tracing)


def _noting(
    settings: Settings, process: IngressProcess, store: Store, guard: StoreGuard, name: str, spool: Spool | None
) -> AbstractAsyncContextManager[object]:
    """Return what notes the traffic for the watcher of silence, where there is one."""
    if not settings.silence.enabled:
        return nullcontext()
    return TrafficNotes(process.traffic, store, name, spool, may_write=lambda: guard.is_settled, ready=process.ready)


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
        return {"store": spool.store.reason or True, "spool": f"takes nothing: {spool.refusal}"}
    if spool is not None and spool.store.reason:
        return {"store": f"ok: {spool.entries} events are spooled, for it does not take them ({spool.store.reason})"}
    checks = await store_check(store)
    if spool is None or checks["store"] is True:
        return checks
    return {"store": f"ok: events will be spooled ({checks['store']})"}
