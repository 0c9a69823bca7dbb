"""`up`, `ingress` and `worker`: the processes that stay."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from config.settings import Settings
from router.cli.command.leaving import Leaving
from router.cli.command.runtime import for_service
from router.cli.output.results import print_line
from router.cli.running.banner import Banner
from router.events.catalogue import Catalogue
from router.ingress.service import serve_ingress
from router.process import forking
from router.telemetry import logs
from router.up import run_ingress_processes, run_up, supervised
from workers.handlers import loop
from workers.modules.loading import BrokenModule, load_subscriptions
from workers.service import serve_workers
from workers.subscription import Subscription

_DEFAULT = "workers.log_events"

Modules = Annotated[list[str], typer.Argument(metavar="MODULE...", help="A dotted module or a Python file.")]


def up(
    modules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODULE]...", help=f"As in `worker`; where none is named, and there is no forward, {_DEFAULT}."
        ),
    ] = None,
) -> None:
    """Run everything: the embedded server if that is the store, ingress, and workers.

    Forwards run beside them where the settings have any.
    """
    settings = for_service()
    raise typer.Exit(Leaving("up").run(_up(settings, modules or _by_default(settings))))


def _by_default(settings: Settings) -> list[str]:
    """Return the modules of `up` where none is named; none where forwards take the events and nothing is swept."""
    return [] if settings.forward and not settings.reconcile else [_DEFAULT]


async def _up(settings: Settings, modules: Sequence[str]) -> int:
    if not sys.stdout.isatty():
        return await run_up(settings, modules, asyncio.Event())
    banner = asyncio.create_task(Banner(settings, Catalogue.for_settings(settings)).show(print_line))
    try:
        return await run_up(settings, modules, asyncio.Event())
    finally:
        banner.cancel()
        await asyncio.wait([banner])


def ingress(
    *,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many share the port, instead of ingress.processes.")
    ] = None,
) -> None:
    """Receive webhooks."""
    settings = for_service()
    number = processes or settings.ingress.processes
    if number > 1 and not supervised():
        raise typer.Exit(Leaving("up").run(run_ingress_processes(settings, number, asyncio.Event())))
    reload = asyncio.Event()
    leaving = Leaving("ingress", settings.ingress.shutdown_timeout)
    leaving.serve(lambda stop: serve_ingress(settings, stop, reload, reuse_port=number > 1), reload.set)


def worker(
    modules: Modules,
    *,
    name: Annotated[
        str | None, typer.Option(help="The consumer's name, which no other process may have; a new one by default.")
    ] = None,
) -> None:
    """Run all subscriptions found in modules.

    SIGHUP has it read again who is notified, and of which silence.
    """
    settings = for_service()
    forking.install()
    leaving = Leaving("worker", settings.workers.shutdown_timeout, loop.run)
    with leaving.after_failure():
        subscriptions = _load(modules)
    reload = asyncio.Event()

    async def work(stop: asyncio.Event) -> None:
        if stuck := await serve_workers(settings, subscriptions, stop, reload, name=name):
            logs.get("worker").warning("handlers_abandoned", handlers=stuck)

    leaving.serve(work, reload.set)


def _load(modules: Sequence[str]) -> list[Subscription]:
    try:
        return load_subscriptions(modules)
    except BrokenModule as error:
        sys.stderr.write(error.traceback)
        raise
