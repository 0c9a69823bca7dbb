"""All commands under one root, each imported when it is asked for: what it needs takes long to import."""

import gc
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from router.cli.command.exits import Guarded, is_own_process
from router.cli.command.flags import Command, Group
from router.cli.command.interrupt import as_usual
from router.cli.output.results import print_line

_COMMANDS: Mapping[str, tuple[str | Mapping[str, str], str]] = {
    "init": (
        "cli.init.command:init",
        "Ask five questions, and write router.toml, a worker module or a forward, and compose.override.yaml.",
    ),
    "up": ("cli.running.serve:up", "Run everything: the embedded server if that is the store, ingress, and workers."),
    "ingress": ("cli.running.serve:ingress", "Receive webhooks."),
    "worker": ("cli.running.serve:worker", "Run all subscriptions found in modules."),
    "forward": (
        {
            "": "cli.forward.serve:forward",
            "list": "cli.forward.listing:list_",
            "test": "cli.forward.trial:try_",
        },
        "Post events to URLs, as the forwards in the settings say; SIGHUP reads them again.",
    ),
    "listen": ("cli.listen.command:listen", "Post events to a URL as they come, for as long as the command runs."),
    "console": ("console.command:console", "Serve the web console on the operations port."),
    "send": (
        "cli.send.command:send",
        "Send signed samples of an event to an ingress, each about a record, a company and a tenant by chance.",
    ),
    "fake-erp": ("cli.fake_erp:fake_erp", "Serve an ERP in memory, to try workers with that fetch records."),
    "catalogue": ("cli.catalogue:catalogue", "List the event types: what a worker can subscribe to."),
    "streams": ("cli.streams:streams", "Show how full the streams are, and how far each subscription is."),
    "top": (
        "cli.top.command:top",
        "Watch the figures of the running system, live: rates, lag, in hand, scheduled, dead; q or Ctrl-C ends it.",
    ),
    "doctor": (
        "cli.doctor.command:doctor",
        "Check settings, catalogue, secrets and server; exit with 1 where something is wrong.",
    ),
    "demo": (
        "cli.demo.command:demo",
        "Run the whole system by itself, feed it everything a sender may send, and count where all of it went.",
    ),
    "events": (
        {
            "list": "cli.events.listing:list_",
            "show": "cli.events.show:show",
            "tail": "cli.events.tail:tail",
            "replay": "cli.events.replay:replay",
            "capture": "cli.capture:capture_event",
        },
        "The events that were received.",
    ),
    "dlq": (
        {
            "list": "cli.dead_letters.reading:list_",
            "stats": "cli.dead_letters.reading:stats",
            "show": "cli.dead_letters.reading:show",
            "replay": "cli.dead_letters.change:replay",
            "purge": "cli.dead_letters.change:purge",
            "export": "cli.dead_letters.export:export",
            "import": "cli.dead_letters.restore:import_",
            "watch": "cli.dead_letters.reading:watch_",
        },
        "The dead letters: events that a subscription gave up.",
    ),
    "keys": (
        {
            "list": "cli.keys.reading:list_",
            "show": "cli.keys.reading:show",
            "release": "cli.keys.change:release",
            "skip": "cli.keys.change:skip",
        },
        "The keys of a keyed subscription: what waits in order, and what holds it up.",
    ),
    "limits": (
        {"list": "cli.limits.reading:list_", "show": "cli.limits.reading:show"},
        "The limits: quotas of what handlers call, shared by all workers.",
    ),
    "breakers": (
        {"list": "cli.breakers.reading:list_", "show": "cli.breakers.reading:show"},
        "The breakers: what handlers call and is left alone while it is down, over all workers.",
    ),
    "archive": (
        {
            "list": "cli.archive.reading:list_",
            "show": "cli.archive.reading:show",
            "verify": "cli.archive.verify:verify",
            "off": "cli.archive.off:off",
        },
        "The archive: where finished events are kept before retention removes them.",
    ),
    "reconcile": (
        {
            "list": "cli.reconcile.reading:list_",
            "run": "cli.reconcile.run:run",
            "show": "cli.reconcile.reading:show",
        },
        "Sweeps of the ERP, for changes that no webhook reported.",
    ),
    "notify": (
        {"list": "cli.notify.reading:list_", "test": "cli.notify.trial:try_"},
        "The notifiers: who hears of incidents, and on which channel.",
    ),
    "incidents": (
        {
            "list": "cli.incidents.reading:list_",
            "mute": "cli.incidents.change:mute",
            "unmute": "cli.incidents.change:unmute",
        },
        "Incidents: what goes wrong for a while, said once when it begins and once when it is over.",
    ),
    "erase": (
        "cli.erase:erase",
        (
            "Erase everything that is stored of a company or a tenant, in every place; "
            "without --yes show how much that is."
        ),
    ),
    "export": (
        "cli.export:export",
        "Write everything that is stored of a company or a tenant as JSON lines, each with where it was found.",
    ),
    "schema": (
        {"list": "cli.schema.reading:list_", "show": "cli.schema.reading:show"},
        "The fields of each type as they were learnt, and what has changed in them.",
    ),
    "audit": (
        "cli.audit:audit",
        "List who changed what in the store, or looked at what is hidden otherwise; newest first.",
    ),
    "quarantine": (
        {
            "list": "cli.quarantine.reading:list_",
            "show": "cli.quarantine.reading:show",
            "retry": "cli.quarantine.change:retry",
            "purge": "cli.quarantine.change:purge",
            "capture": "cli.capture:capture_quarantined",
        },
        "The quarantine: signed bodies that could not be read.",
    ),
    "subscriptions": (
        {
            "list": "cli.subscriptions.listing:list_",
            "pause": "cli.subscriptions.pause:pause",
            "resume": "cli.subscriptions.pause:resume",
            "remove": "cli.subscriptions.remove:remove",
        },
        "The subscriptions: which there are, and how far each is.",
    ),
}
"""Where each command is, or each of a group by its name in the order of the help, and what the help says of it.

What a group does without a command has no name.
"""

_YOUNG = 10_000  # objects made and not yet gone, at which garbage is looked for: a busy process has thousands in use


class _Root(Guarded):
    """Knows the commands by name and by what the help says of them; imports the one that is run."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name them, in the order of the help."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return what stands for a command until it is run; None for an unknown name."""
        del ctx
        return TyperCommand(cmd_name, help=_COMMANDS[cmd_name][1]) if cmd_name in _COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command to run; with that all is imported: there may be garbage, and Ctrl-C is its own affair."""
        name, _, rest = super().resolve_command(ctx, args)
        command = load(name) if name else None
        if is_own_process():
            gc.freeze()  # what was imported stays: it is never looked through
            gc.set_threshold(_YOUNG)
        gc.enable()
        as_usual()
        return name, command, rest


def load(name: str) -> Any:
    """Import a command, or all of a group; one without a name is what the group does by itself."""
    where, words = _COMMANDS[name]
    paths = dict(where) if isinstance(where, Mapping) else {name: where}
    alone = paths.pop("", None)
    group = typer.Typer(cls=Group, no_args_is_help=alone is None, add_completion=False, help=words)
    if alone is not None:
        group.callback(invoke_without_command=True, help=words)(_imported(alone))
    for own, path in paths.items():
        group.command(own, cls=Command)(_imported(path))
    command = typer.main.get_command(group)  # of a group with a single command that command
    command.name = name
    return command


def _imported(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(f"router.{module}"), attribute)


app = typer.Typer(
    name="event-router",
    cls=_Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and those may be secrets
    help="Receives webhooks of Visma.net ERP, keeps their events in Redis streams and hands them to workers.",
    epilog="Exit codes: 0 done, 1 partly failed, or the output could not be written, 2 usage, 3 nothing matched, "
    "4 unreachable, 5 over the threshold.",
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - what a callback of an option gets
    if value:
        from router.telemetry.identity import own_version  # noqa: PLC0415 - slow to import, and only this needs it

        print_line(f"event-router {own_version()}")
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
