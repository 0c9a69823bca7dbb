"""`subscriptions remove`: taking a subscription away for good, with a look at what goes before it happens."""

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from config.errors import RouterError
from router.cli.changes.asking import ask
from router.cli.changes.audited import audited
from router.cli.changes.order import Reason, Yes
from router.cli.command.exits import ExitCode, NothingMatched, complain, usage
from router.cli.command.loop import run
from router.cli.command.runtime import Session, opened
from router.cli.options.completing import event_types, subscriptions
from router.cli.output.results import JsonFlag, number_of, print_json, print_line
from router.cli.output.rows import event_cell
from router.cli.output.table import EVENT, Column, print_table
from router.cli.subscriptions.words import none_named
from router.events.catalogue import Catalogue
from router.events.globs import select
from router.tasks.ending import whole
from workers.operations.audit import CHANGED, FAILED, MATCHED, Deed
from workers.operations.removal import Removed, remove_subscription
from workers.state.former import former_streams
from workers.state.holdings import Holding, holdings
from workers.state.liveness import live_consumers

__all__ = ["SubscriptionInUse", "remove"]

_COLUMNS = (EVENT, *(Column(name, right=True) for name in ("WAITING", "INBOX", "SCHEDULED", "DEAD")))

_ROUNDS = 2  # of retention: after so many without it, a stream is in no worker's catalogue
_NEVER = datetime.fromtimestamp(0, UTC)


class SubscriptionInUse(RouterError):
    """A worker of the subscription lives, which would make it again."""


def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The subscription to remove.", autocompletion=subscriptions)
    ],
    *,
    yes: Yes = False,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Remove its dead letters, too.")] = False,
    former: Annotated[
        bool, typer.Option("--former", help="Only from streams that are no longer configured; its workers may run.")
    ] = False,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            "--events",
            metavar="GLOB",
            help="Only from these streams, such as those that its globs leave out now; can be repeated.",
            autocompletion=event_types,
        ),
    ] = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Remove a subscription that no worker runs any more, with all that it had still to do.

    Safe to repeat; once nothing of it is left the exit code is 3, as for a name that no subscription ever had.

    The events stay in their streams, for other subscriptions; this one no longer keeps them from being trimmed.
    """
    if events and former:
        usage("--former names the streams already: leave out --events")
    found, removed = run(_remove(name, events or (), yes=yes, dead_letters=dead_letters, former=former, reason=reason))
    failed = [*removed.kept, *removed.refused]
    streams = sum(holding.stream not in failed for holding in found)
    if as_json:
        print_json({"subscription": name, "streams": streams, "dead_letters": removed.dead_letters, "failed": failed})
    else:
        dead = f" and {number_of(removed.dead_letters, 'dead letter')}" if removed.dead_letters else ""
        print_line(f"removed {name} from {number_of(streams, 'stream')}{dead}")
    for stream in removed.kept:
        complain(f"{name} is left on {stream}, where it has dead letters: add --dead-letters")
    for stream, why in removed.refused.items():
        complain(f"{name} is left on {stream}: {why}")
    if failed:
        raise typer.Exit(ExitCode.PARTLY_FAILED)


async def _remove(
    name: str, events: Sequence[str], *, yes: bool, dead_letters: bool, former: bool, reason: str
) -> tuple[list[Holding], Removed]:
    refuse_in_use = _refuse_read if former else _refuse_in_use
    async with opened() as session:
        left = await former_streams(session.store, session.catalogue)
        streams = [*left] if former else [*session.catalogue.streams(), *left]
        if events:
            streams = [*dict.fromkeys(stream for text in events for stream in select(session.catalogue, text))]
        found = await holdings(session.store, streams, name)
        if not found:
            raise NothingMatched(await _nothing(session, name, "of these streams" if events else ""))
        await refuse_in_use(session, name, found)
        _refuse_dead_letters(name, found, dead_letters=dead_letters)
        if not yes:
            _confirm(name, found, session.catalogue)
            await refuse_in_use(session, name, found)
        deed = Deed("subscriptions remove", name, _selector(found, events, former=former), reason)
        async with audited(session.store, deed, len(found), _lost) as counts:
            in_part = former or bool(events)
            removed = await whole(_removed(session, streams, name, counts, dead_letters=dead_letters, in_part=in_part))
    return found, removed


async def _removed(
    session: Session, streams: Sequence[str], name: str, counts: Counter[str], *, dead_letters: bool, in_part: bool
) -> Removed:
    removed = await remove_subscription(session.store, streams, name, dead_letters=dead_letters, in_part=in_part)
    counts[FAILED] = len(removed.kept) + len(removed.refused)
    counts[CHANGED] = counts[MATCHED] - counts[FAILED]
    return removed


def _selector(found: Sequence[Holding], events: Sequence[str], *, former: bool) -> dict[str, Any]:
    """Return what the audit says of what goes."""
    names = ("waiting", "inbox", "scheduled", "dead")
    sums = dict(zip(names, map(sum, zip(*map(_figures, found), strict=True)), strict=True))
    return {**({"former": True} if former else {}), **({"events": [*events]} if events else {}), **sums}


def _lost(_counts: Counter[str], why: str) -> str:
    return f"{why} on the way; repeating is safe"


async def _nothing(session: Session, name: str, these: str) -> str:
    where = f"none {these}" if these else "no stream that is no longer configured"
    why = await none_named(session, name) or f"{name} is on {where}"
    return f"nothing to remove, or removed already: {why}"


async def _refuse_read(session: Session, _name: str, found: Sequence[Holding]) -> None:
    """Raise if a worker may still read one of the streams, because it knows it by another catalogue than ours."""
    noted = await former_streams(session.store, session.catalogue)
    last, stream = max((noted.get(holding.stream, _NEVER), holding.stream) for holding in found)
    until = last + _ROUNDS * timedelta(seconds=session.settings.retention.interval)
    if until > datetime.now(UTC):
        raise SubscriptionInUse(
            f"at {last:%H:%M:%S} UTC a worker still had {stream} in its catalogue: restart the workers that have, "
            f"and try again after {until:%H:%M:%S} UTC; if it is to stay, run this with their publishers_dir"
        )


async def _refuse_in_use(session: Session, name: str, _found: Sequence[Holding]) -> None:
    alive = (await live_consumers(session.store, [name], session.settings.workers.lease))[name]
    if alive:
        lease = session.settings.workers.lease
        over = datetime.now(UTC) + timedelta(seconds=lease)
        raise SubscriptionInUse(
            f"{name} has {number_of(len(alive), 'worker')} that would make it again and be given all events once more: "
            f"stop {', '.join(alive)}; one that was killed counts as alive for {lease:g} s, at the latest until "
            f"{over:%H:%M:%S} UTC"
        )


def _refuse_dead_letters(name: str, found: Sequence[Holding], *, dead_letters: bool) -> None:
    number = sum(holding.dead for holding in found)
    if number and not dead_letters:
        usage(
            f"{name} has {number_of(number, 'dead letter')}: look at `event-router dlq list --subscription {name}`, "
            "and add --dead-letters to remove them, too"
        )


def _confirm(name: str, found: Sequence[Holding], catalogue: Catalogue) -> None:
    """Go on with a yes of somebody at the terminal; else end the command."""
    busy = [holding for holding in found if any(_figures(holding))]
    complain(f"remove {name} from {number_of(len(found), 'stream')}, with {'this:' if busy else 'nothing left to do'}")
    if busy:
        rows = [(event_cell(catalogue, holding.stream), *_figures(holding)) for holding in busy]
        print_table(_COLUMNS, rows, file=sys.stderr)
    ask(f"remove {name}?", "add --yes to remove it")


def _figures(holding: Holding) -> tuple[int, ...]:
    return (holding.waiting, holding.inbox, holding.scheduled, holding.dead)
