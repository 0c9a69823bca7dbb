"""`up`, `ingress` and `worker`: the processes that stay."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from router import logs
from router.cli.demo import run_demo
from router.cli.exits import ExitCode
from router.cli.runtime import for_service, run
from router.service import serve_ingress
from router.signals import install_stop
from router.up import run_ingress_processes, run_up, supervised
from workers.loading import load_subscriptions
from workers.service import serve_workers, threads_left

__all__ = ["demo", "ingress", "up", "worker"]

_DEFAULT = "workers.log_events"

Modules = Annotated[list[str], typer.Argument(metavar="MODULE...", help="A dotted module or a Python file.")]


def up(
    modules: Annotated[
        list[str] | None, typer.Argument(metavar="[MODULE]...", help=f"As of `worker`; {_DEFAULT} if none is named.")
    ] = None,
) -> None:
    """Run everything: the embedded server if that is the store, ingress, and workers."""
    raise typer.Exit(run(run_up(for_service(), modules or [_DEFAULT], asyncio.Event())))


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
        raise typer.Exit(run(run_ingress_processes(settings, number, asyncio.Event())))
    run(_until_stopped(lambda stop: serve_ingress(settings, stop, reuse_port=number > 1)))


def worker(
    modules: Modules,
    *,
    name: Annotated[
        str | None, typer.Option(help="The consumer's name, which no other process may have; a new one by default.")
    ] = None,
) -> None:
    """Run all subscriptions found in modules."""
    settings = for_service()
    subscriptions = load_subscriptions(modules)
    run(_until_stopped(lambda stop: serve_workers(settings, subscriptions, stop, name=name)))
    if threads := threads_left():
        logs.get("worker").warning("threads_abandoned", threads=threads)
        _leave()


def demo() -> None:
    """Run the whole system by itself, feed it everything a sender may send, and count where all of it went."""
    raise typer.Exit(run_demo(typer.echo))


async def _until_stopped(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    install_stop(stop, supervised=supervised())
    await serve(stop)


def _leave() -> None:
    """End at once: the interpreter would wait for threads that a handler never returns from."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ExitCode.DONE)
