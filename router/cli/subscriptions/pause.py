"""`subscriptions pause|resume`: keeping the workers of a subscription from taking events, for a while."""

import asyncio
from datetime import timedelta
from typing import Annotated

import typer

from router.cli.command.exits import NothingMatched, complain
from router.cli.command.loop import in_order
from router.cli.command.runtime import none_named, operate
from router.cli.options.common import Company, lasting
from router.cli.options.completing import subscriptions
from router.cli.output.results import JsonFlag, clean, number_of, print_json, print_line
from router.cli.output.waiting import pause_json, pauses_text
from router.cli.subscriptions.companies import pause_company, resume_company
from workers.operations.operations import Operations
from workers.state.groups import live_consumers
from workers.state.pauses import Pause, confirmed

_PATIENCE = 5.0  # seconds to wait for the workers' word
_AGAIN = 0.05


Name = Annotated[str, typer.Argument(metavar="NAME", help="The subscription.", autocompletion=subscriptions)]
For = Annotated[
    timedelta | None,
    typer.Option("--for", parser=lasting, metavar="TIME", help="Resume by itself after 90s, 30m, 2h, 1d or 1w."),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; shown wherever the pause is.")]


def pause(
    name: Name, *, company: Company = None, for_: For = None, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Keep the workers of a subscription from taking events, until it is resumed; what runs finishes.

    Nothing is lost: what comes waits in its stream, retries wait where they are. Workers that are started meanwhile
    wait too, and a restart of anything changes nothing. A pause takes the place of one that is there already.

    --company: only those of one company, at once; for subscriptions with a key, or with a limit for each company.
    """
    if company is not None:
        pause_company(name, company, for_, reason, as_json=as_json)
        return
    made, at_work, halted = operate(lambda operations: _pause(operations, name, for_, reason))
    if as_json:
        print_json({"subscription": name, "paused": pause_json(made), "workers": at_work, "halted": halted})
    else:
        print_line(f"{name} is {made.text()}; {_workers_text(at_work, halted)}")
    if late := sorted(set(at_work) - set(halted)):
        complain(f"{', '.join(late)} did not confirm within {_PATIENCE:g} s: busy, without the store, or gone just now")


async def _pause(
    operations: Operations, name: str, for_: timedelta | None, reason: str
) -> tuple[Pause, list[str], list[str]]:
    if words := await none_named(operations, name):
        raise NothingMatched(words)
    with in_order():
        made = await operations.pause(name, for_.total_seconds() if for_ else None, reason=reason)
    return made, *await _halted(operations, name, made)


async def _halted(operations: Operations, name: str, made: Pause) -> tuple[list[str], list[str]]:
    """Return the workers there are, and those that have said so far that they take no more."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while True:
        at_work = (await live_consumers(operations.store, [name], operations.settings.workers.lease))[name]
        halted = await confirmed(operations.store, name, made)
        if halted.issuperset(at_work) or asyncio.get_running_loop().time() > deadline:
            return sorted(at_work), sorted(halted)
        await asyncio.sleep(_AGAIN)


def _workers_text(at_work: list[str], halted: list[str]) -> str:
    if not at_work:
        return "no worker runs for it now"
    done = len(set(at_work) & set(halted))
    return f"{done} of {number_of(len(at_work), 'worker')} {'has' if done == 1 else 'have'} stopped taking events"


def resume(name: Name, *, company: Company = None, reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Let the workers of a paused subscription go on, at once; exit code 3 where it is not paused.

    --company: with the events of a company that was paused.
    """
    if company is not None:
        resume_company(name, company, reason, as_json=as_json)
        return
    was = operate(lambda operations: _resume(operations, name, reason))
    if as_json:
        print_json({"subscription": name, "was_paused": pause_json(was)})
    else:
        print_line(f"resumed {name}, which was {clean(was.text())}")


async def _resume(operations: Operations, name: str, reason: str) -> Pause:
    was = await operations.paused(name)
    if was is None:
        raise NothingMatched(await none_named(operations, name) or await _not_paused(operations, name))
    with in_order():
        await operations.resume(name, reason=reason)
    return was


async def _not_paused(operations: Operations, name: str) -> str:
    companies = (await operations.paused_companies([name])).get(name)
    if not companies:
        return f"{name} is not paused"
    return f"{name} is not paused as a whole: {clean(pauses_text(None, companies))}; resume one with --company"
