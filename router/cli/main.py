"""The command `event-router`."""

import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from router.cli import events, quarantine
from router.cli.catalogue import catalogue, streams
from router.cli.dlq_change import app as dlq
from router.cli.doctor import doctor
from router.cli.exits import Guarded
from router.cli.send import send
from router.cli.serve import demo, ingress, up, worker

__all__ = ["app", "main"]

_DISTRIBUTION = "visma-event-router"

app = typer.Typer(
    name="event-router",
    cls=Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and those may be secrets
    help="Receives webhooks of Visma.net ERP, keeps their events in Redis streams and hands them to workers.",
    epilog="Exit codes: 0 done, 1 partly failed, 2 usage, 3 nothing matched, 4 unreachable, 5 over the threshold.",
)

for _command in (up, ingress, worker, send, catalogue, streams, doctor, demo):
    app.command()(_command)
for _name, _group in (("events", events.app), ("dlq", dlq), ("quarantine", quarantine.app)):
    app.add_typer(_group, name=_name)


def _print_version(value: bool) -> None:  # noqa: FBT001 - what a callback of an option gets
    if value:
        try:
            version = importlib.metadata.version(_DISTRIBUTION)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
            version = "unknown"
        typer.echo(f"event-router {version}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    config: Annotated[Path | None, typer.Option(metavar="PATH", help="The settings file.")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
    if config is not None:
        os.environ["ROUTER_CONFIG"] = str(config.absolute())  # for the processes that `up` starts, too


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what a sender wrote may be beyond a terminal's alphabet
    app(prog_name="event-router")


if __name__ == "__main__":
    main()
