"""`notify test`: one sample on its way, and what came back."""

import time
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from config.notify import NotifySettings
from config.sources import load_settings
from router.cli.command.exits import ExitCode, NothingMatched, complain
from router.cli.command.loop import run
from router.cli.options.completing import notifiers
from router.cli.output.results import JsonFlag, print_json, print_line
from router.telemetry.printable import printable
from workers.notify.message import sample
from workers.notify.opening import channel_of
from workers.notify.sending import SendFailed, Sent

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `notify list` shows it.", autocompletion=notifiers)]


def try_(name: Name, *, as_json: JsonFlag = False) -> None:
    """Send a sample to a notifier now, and show what was sent and what came back; it needs no store.

    Nothing secret is shown: of a URL its host alone. Exits with 0 where the sample was taken, with 1 where it was
    refused, with 4 where nobody answered.
    """
    settings = _named(name)
    outcome = run(_sent(settings))
    failure = outcome if isinstance(outcome, SendFailed) else None
    if as_json:
        print_json(_json(settings, outcome))
    else:
        _print(outcome)
    if failure is not None:
        complain(f"{name} did not take it: {failure}")
        raise typer.Exit(ExitCode.PARTLY_FAILED if failure.answered else ExitCode.UNREACHABLE)


def _named(name: str) -> NotifySettings:
    known = load_settings().notify
    if found := next((each for each in known if each.name == name), None):
        return found
    names = ", ".join(each.name for each in known)
    raise NothingMatched(f"there is no notifier {name!r}; {f'there are {names}' if names else 'none is set'}")


async def _sent(settings: NotifySettings) -> Sent | SendFailed:
    message = sample(settings.name, int(time.time() * 1000), ZoneInfo(settings.zone))
    async with channel_of(settings) as channel:
        try:
            return await channel.send(message)
        except SendFailed as error:
            return error


def _print(outcome: Sent | SendFailed) -> None:
    for line in outcome.request.splitlines():
        print_line(f"> {printable(line)}")
    if isinstance(outcome, Sent):
        print_line(f"< {outcome.answer}")
        print_line(f"taken by {outcome.address} after {outcome.seconds:.3f} s")
        if outcome.warning:
            print_line(outcome.warning)


def _json(settings: NotifySettings, outcome: Sent | SendFailed) -> dict[str, Any]:
    taken = isinstance(outcome, Sent)
    return {
        "name": settings.name,
        "kind": settings.kind,
        "taken": taken,
        "request": outcome.request,
        "answer": outcome.answer if isinstance(outcome, Sent) else None,
        "address": outcome.address if isinstance(outcome, Sent) else None,
        "seconds": round(outcome.seconds, 3) if isinstance(outcome, Sent) else None,
        "error": (outcome.warning or None) if isinstance(outcome, Sent) else str(outcome),
    }
