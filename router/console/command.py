"""`console`: the web console as a process, and links that sign in to one."""

import asyncio
import sys
from functools import partial
from typing import Annotated

import typer

from config.settings import Settings
from router.cli.command.exits import NothingMatched, usage
from router.cli.command.leaving import Leaving
from router.cli.command.runtime import for_service
from router.cli.output.results import print_line
from router.console.access.token import console_url, sign_in_url
from router.console.service import serve_console
from router.process.ops_ports import ops_ports
from router.process.signals import install_last
from router.up import supervised


def console(
    *,
    link: Annotated[
        bool, typer.Option("--link", help="Only print a link that signs in once, to a console that runs.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The port of the console that the link is for.")
    ] = None,
) -> None:
    """Serve the web console on the operations port."""
    settings = for_service()
    if link:
        _print_link(settings, port)
    else:
        Leaving("console").serve(partial(_serve, settings))


def _print_link(settings: Settings, port: int | None) -> None:
    found = port or next((found.port for found in ops_ports(settings) if found.name == "console"), None)
    if not found:
        usage("ops.port is 0, so the console's port is in its log: name it with --port")
    if (url := sign_in_url(settings, found)) is None:
        raise NothingMatched(f"no console has run with {settings.data_dir} yet: start `event-router console`, or `up`")
    print_line(url)


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    is_child = supervised()
    install_last(stop)
    await serve_console(settings, stop, listening=lambda port: None if is_child else _say(settings, port))


def _say(settings: Settings, port: int) -> None:
    """Say on a terminal where the console is; elsewhere a link would be kept in a log."""
    if sys.stdout.isatty():
        print_line(f"\n  console     {console_url(settings, port)}\n  sign in     {sign_in_url(settings, port)}\n")
