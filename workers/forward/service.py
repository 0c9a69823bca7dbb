"""Forwards as a process: started, reloaded on SIGHUP, and ended in order."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.telemetry import logs
from workers.forward.forwards import Forwards
from workers.forward.making import check_forwards
from workers.forward.notebook import Notebook
from workers.service import Bench, Take, serve_crew

__all__ = ["serve_forwards"]

_log = logs.get("forward")


async def serve_forwards(
    settings: Settings, stop: asyncio.Event, reload: asyncio.Event, *, name: str | None = None
) -> list[str]:
    """Run the forwards of the settings until `stop` is set; read those, and who is notified, again on `reload`.

    Returns the subscriptions whose handlers could not be ended. Without a forward it waits for one to be set. `name` as
    for workers. Raises ConfigError, which names the forward that is wrong.
    """
    catalogue = Catalogue.for_settings(settings)
    check_forwards(settings, catalogue)
    if not settings.forward:
        _log.warning("no_forwards", advice="write a [[forward]] into the settings, and send SIGHUP: docs/forward.md")

    @asynccontextmanager
    async def manning(bench: Bench) -> AsyncIterator[Take]:
        notebook = Notebook(bench.store, time.time)
        async with Forwards(bench, notebook, _traceparent(settings)) as forwards:
            forwards.want(settings)
            await forwards.bring()
            bench.crew.beside(notebook.run())
            bench.crew.beside(forwards.run())
            yield forwards.want

    return await serve_crew(settings, catalogue, manning, stop, reload, name=name, role="forward")


def _traceparent(settings: Settings) -> Callable[[], str]:
    """Return what tells the trace of the attempt that runs, in the form of a header."""
    if not settings.tracing.enabled:
        return str
    current: Callable[[], str] = import_module("router.telemetry.spans").current_traceparent
    return current
