"""`forward`: the process that posts events to the URLs of the settings."""

import asyncio
from typing import Annotated

import typer

from router.cli.command.leaving import Leaving
from router.cli.command.runtime import for_service
from router.process import forking
from router.telemetry import logs
from workers.forward.service import serve_forwards
from workers.handlers import loop

Name = Annotated[
    str | None, typer.Option(help="The consumer's name, which no other process may have; a new one by default.")
]


def forward(context: typer.Context, *, name: Name = None) -> None:
    """Post events to URLs, as the forwards in the settings say; SIGHUP reads them again."""
    if context.invoked_subcommand is not None:
        return
    settings = for_service()
    forking.install()
    reload = asyncio.Event()

    async def work(stop: asyncio.Event) -> None:
        if stuck := await serve_forwards(settings, stop, reload, name=name):
            logs.get("forward").warning("handlers_abandoned", handlers=stuck)

    Leaving("forward", settings.workers.shutdown_timeout, loop.run).serve(work, reload.set)
