"""`archive verify`: whether all objects of the archive are whole."""

import typer

from router.cli.command.exits import ExitCode, NothingMatched, complain
from router.cli.command.loop import in_order
from router.cli.command.runtime import operate
from router.cli.options.common import EventGlob, Since, Until
from router.cli.output.results import JsonFlag, number_of, print_json, print_line
from workers.operations.archive.browser import Verified
from workers.operations.events import EventFilter
from workers.operations.operations import Operations


def verify(glob: EventGlob = "*", *, since: Since = None, until: Until = None, as_json: JsonFlag = False) -> None:
    """Read the archive, all of it or that of a time, and say what of it is damaged.

    Each object is read to its end and compared with its name. Exit code 1: one is damaged. Files that are no objects
    are named, too; a replay leaves both out.
    """

    async def work(operations: Operations) -> Verified:
        with in_order():
            return await operations.verify_archive(glob, EventFilter(since=since, until=until))

    found = operate(work)
    for name in found.foreign:
        complain(f"{name} is no object of the archive")
    for damaged in found.damaged:
        complain(f"{damaged.name} is damaged: {damaged.why}")
    if as_json:
        damage = [{"name": each.name, "why": each.why} for each in found.damaged]
        print_json({"objects": found.objects, "events": found.events, "damaged": damage, "foreign": found.foreign})
    elif not (found.objects or found.damaged):
        raise NothingMatched("the archive holds nothing that matches")
    else:
        print_line(f"{number_of(found.objects, 'whole object')} with {number_of(found.events, 'event')}")
    if found.damaged:
        raise typer.Exit(ExitCode.PARTLY_FAILED)
