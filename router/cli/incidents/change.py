"""`incidents mute|unmute`: what nobody wants to hear of, such as that a company sends no more which has left."""

from datetime import timedelta
from typing import Annotated

import typer

from router.cli.command.exits import NothingMatched
from router.cli.command.loop import in_order
from router.cli.command.runtime import operate
from router.cli.options.common import lasting
from router.cli.options.completing import incident_kinds, incident_subjects
from router.cli.output.results import JsonFlag, clean, print_json, print_line, stamp
from workers.operations.operations import Operations

Kind = Annotated[
    str, typer.Argument(metavar="KIND", help="As `incidents list` shows it.", autocompletion=incident_kinds)
]
Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="Likewise.", autocompletion=incident_subjects)]
For = Annotated[
    timedelta | None,
    typer.Option("--for", parser=lasting, metavar="TIME", help="Unmute by itself after 90s, 30m, 2h, 1d or 1w."),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; the audit has it.")]


def mute(kind: Kind, subject: Subject, *, for_: For = None, reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Say no more of a kind of incident about a subject, such as a company that has left.

    One that lasts is removed from the list, and none is said until it is unmuted.
    """

    async def muted(operations: Operations) -> str | None:
        await operations.muted()  # a store that is away is said once, before the audit is to have a line
        with in_order():
            return stamp(await operations.mute(kind, subject, for_.total_seconds() if for_ else None, reason=reason))

    try:
        until = operate(muted)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        print_json({"kind": kind, "subject": subject, "until": until})
    else:
        print_line(clean(f"muted {kind} {subject} until {until or 'it is unmuted'}"))


def unmute(kind: Kind, subject: Subject, *, reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Say again a kind of incident about a subject; exit code 3 where it is not muted."""

    async def unmuted(operations: Operations) -> bool:
        if (kind, subject) not in {(one.kind, one.subject) for one in await operations.muted()}:
            return False
        with in_order():
            return await operations.unmute(kind, subject, reason=reason)

    if not (was := operate(unmuted)):
        raise NothingMatched(f"{kind} {subject} is not muted; `event-router incidents list --muted` shows what is")
    if as_json:
        print_json({"kind": kind, "subject": subject, "was_muted": was})
    else:
        print_line(clean(f"unmuted {kind} {subject}"))
