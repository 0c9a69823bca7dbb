"""The console as a process: its port, and its orderly end."""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from config.settings import Settings
from router.console.access.token import token_of
from router.console.console import Console
from router.console.routes import mount
from router.embedded.access import open_store
from router.events.catalogue import Catalogue
from router.process.ops import OpsServer
from router.process.signals import watch_parent
from router.process.supervisor import say_started
from router.store.health.survey import store_check
from router.telemetry.identity import new_registry, process_name
from workers.operations.store_metrics import StoreMetrics

log = structlog.get_logger("console")


async def serve_console(
    settings: Settings, stop: asyncio.Event, *, listening: Callable[[int], None] = lambda _port: None
) -> None:
    """Serve the console on the operations port until `stop` is set; calls `listening` with the port.

    Raises ConfigError when its token can be neither read nor made, RouterError when the port cannot be opened.
    """
    watch_parent(stop.set)
    catalogue = Catalogue.for_settings(settings)
    token = token_of(settings)
    async with open_store(settings, create=False) as store:
        console = Console.of(settings, catalogue, store, token)
        name, registry = process_name(), new_registry("console")
        figures = StoreMetrics(store, catalogue, settings.workers.lease, registry, settings=settings)
        ops = OpsServer(
            settings.ops,
            partial(store_check, store),
            registry,
            role="console",
            name=name,
            refresh=figures.refresh,
            extend=partial(mount, console),
        )
        port = await ops.start()
        log.info("console_started", name=name, ops_port=port)
        say_started()
        listening(port)
        try:
            await stop.wait()
        finally:
            ops.not_ready("stopping")
            await console.jobs.stop()
            await ops.stop()
    log.info("console_stopped")
