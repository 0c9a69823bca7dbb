"""`dlq stats|list|show|watch`: reading the dead letters."""

import shlex
from typing import Annotated, Any

import typer

from router.cli.command.exits import ExitCode, NothingMatched, complain
from router.cli.command.reader import follow, while_read
from router.cli.command.runtime import none_named, operate, say_away
from router.cli.dead_letters.options import selected, selecting
from router.cli.options.common import taking
from router.cli.output.listing import Listing, Reveal, print_list
from router.cli.output.results import (
    JsonFlag,
    age,
    clean,
    fields_of,
    json_line,
    number_of,
    print_json,
    print_line,
    print_record,
    stamp,
)
from router.cli.output.rows import (
    DEAD_LETTER_COLUMNS,
    attempt_json,
    body_of,
    dead_letter_json,
    dead_letter_row,
    event_cell,
    event_json,
    is_masked,
    last_failure,
    print_attempt,
    say_masked,
    unsigned,
)
from router.cli.output.table import EVENT, SUBSCRIPTION, Column, TwoForms, ident, print_table
from router.events.catalogue import Catalogue
from router.tasks.iterating import first
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.letters import ErrorGroup
from workers.operations.dead_letters.selector import Selector
from workers.operations.dead_letters.watch import watch
from workers.operations.keys.line_keys import LineKey
from workers.operations.operations import Operations
from workers.operations.reveal import revealed

_STATS_COLUMNS = (
    Column("COUNT", right=True),
    Column("FINGERPRINT", drawn="PRINT", drop=13),
    SUBSCRIPTION,
    EVENT,
    Column("ERROR", shrink=((3, 20), (6, 16)), rest=True),
    Column("FIRST", right=True, drop=3),
    Column("LAST", right=True, drop=4),
    ident("SAMPLE", drop=12),
)


@taking(selector=selected, listing=Listing)
def list_(*, selector: Selector, listing: Listing) -> None:
    """List dead letters, newest first."""
    print_list(
        lambda operations: operations.dead_letters(selector),
        DEAD_LETTER_COLUMNS,
        dead_letter_row,
        dead_letter_json,
        listing,
        subscription=selector.subscription,
    )


@taking(selector=selected)
def stats(
    *,
    selector: Selector,
    fail_over: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Exit with 5 if there are more than N dead letters.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Count dead letters by what went wrong; details such as numbers and ids are folded."""
    catalogue, groups = operate(lambda operations: _stats(operations, selector))
    if as_json:
        print_json([_group_json(group) for group in groups])
    else:
        print_table(_STATS_COLUMNS, [_stats_row(catalogue, group) for group in groups])
    total = sum(group.count for group in groups)
    if fail_over is not None and total > fail_over:
        complain(f"{number_of(total, 'dead letter')} {'is' if total == 1 else 'are'} more than {fail_over}")
        raise typer.Exit(ExitCode.OVER_THRESHOLD)


async def _stats(operations: Operations, selector: Selector) -> tuple[Catalogue, list[ErrorGroup]]:
    groups = await operations.group_dead_letters(selector)
    if not groups and (words := await none_named(operations, selector.subscription)):
        complain(words)
    return operations.catalogue, groups


def _group_json(group: ErrorGroup) -> dict[str, Any]:
    what = fields_of(group, "fingerprint", "subscription", "stream", "error", "message")
    return {**what, "error": group.error or None, **fields_of(group, "count", "first_seen", "last_seen", "sample")}


def _stats_row(catalogue: Catalogue, group: ErrorGroup) -> tuple[object, ...]:
    error = f"{group.error}: {group.message}" if group.error else group.message
    times = [TwoForms(f"{age(moment)} ago", age(moment)) for moment in (group.first_seen, group.last_seen)]
    what = (group.count, group.fingerprint, group.subscription, event_cell(catalogue, group.stream))
    return (*what, error, *times, group.sample)


@taking(selector=selecting)
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the event, or of the entry.")],
    *,
    selector: Selector,
    reveal: Reveal = False,
    as_json: JsonFlag = False,
) -> None:
    """Show a dead letter: its event, its bytes and every attempt. Of several the newest, unless options say which.

    Of a subscription with a key it says which events it stands for besides its own, and whether its key is held. The
    values of the body are masked without --reveal.
    """
    letter, others, key = operate(lambda operations: _find(operations, selector, id_, reveal=reveal))
    if as_json:
        print_json(_whole(letter, key, reveal=reveal))
    else:
        _print(letter, key, reveal=reveal)
    if others:
        complain("there are older ones of this id; see dlq list, and --subscription or --event")


async def _find(
    operations: Operations, selector: Selector, id_: str, *, reveal: bool
) -> tuple[DeadLetterEntry, list[DeadLetterEntry], LineKey | None]:
    found = [letter async for letter in first(operations.dead_letters(selector.narrowed(id_)), 2)]
    if not found:
        raise NothingMatched(await _not_found(operations, selector, id_))
    letter, *others = found
    if reveal:
        subject = f"dead letter {letter.event_id} of {letter.subscription} on {letter.stream}"
        await revealed(operations.store, letter.raw, subject=subject)
    key = await operations.key(letter.subscription, letter.key, most=1) if letter.key else None
    return letter, others, key[0] if key else None


async def _not_found(operations: Operations, selector: Selector, id_: str) -> str:
    """Return that there is no such dead letter, and which one stands for the event, if one does."""
    wanted = id_.lower()
    standing = (
        letter
        async for letter in operations.dead_letters(selector)
        if any(merged.id.lower() == wanted for merged in letter.merged)
    )
    async for letter in first(standing, 1):
        return f"{id_} was merged into {letter.event_id}, whose dead letter of {letter.subscription} stands for both"
    return f"no dead letter has the id {id_}; `event-router dlq list` shows them"


def _whole(letter: DeadLetterEntry, key: LineKey | None, *, reveal: bool) -> dict[str, Any]:
    return {
        **dead_letter_json(letter),
        **({"key_held_since": stamp(key.since if key else None)} if letter.key else {}),
        "event": event_json(letter.event, reveal=reveal) if letter.event else None,
        "raw": body_of(letter.raw, reveal=reveal),
        "history": [attempt_json(attempt, reveal=reveal) for attempt in letter.attempts],
    }


def _print(letter: DeadLetterEntry, key: LineKey | None, *, reveal: bool) -> None:
    shown = dead_letter_json(letter)
    if letter.merged:
        shown["merged"] = "\n".join(["", *(f"{each.id}  {each.type}  {stamp(each.at)}" for each in letter.merged)])
    if key is not None and key.state == "held":
        release = f"event-router keys release {letter.subscription} {shlex.quote(key.key)}"
        shown["key"] = f"{letter.key}, held since {stamp(key.since)}; `{release}` lets it go on"
    event = event_json(letter.event, reveal=reveal) if letter.event else {}
    event["raw"] = body_of(letter.raw, reveal=reveal)
    print_record(unsigned({**shown, **{name: value for name, value in event.items() if name not in shown}}))
    for attempt in letter.attempts:
        print_attempt("", attempt, reveal=reveal)
    if is_masked(event, letter.attempts, reveal=reveal):
        say_masked()


@taking(selector=selected)
def watch_(
    *,
    selector: Selector,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="End after so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
) -> None:
    """Show dead letters as they come, until Ctrl-C; with --since, those since then first.

    A store that goes away is waited for, and what came meanwhile is shown when it is back.
    """

    async def show(operations: Operations) -> None:
        async for letter in first(watch(operations.store, operations.letters, selector, say_away), limit):
            print_line(json_line(dead_letter_json(letter)) if as_json else _line(operations.catalogue, letter))

    follow(lambda operations: while_read(show(operations)))


def _line(catalogue: Catalogue, letter: DeadLetterEntry) -> str:
    where = (stamp(letter.died_at), letter.event_id, event_cell(catalogue, letter.stream).drawn, letter.resource)
    return "  ".join(map(clean, (*where, letter.subscription, letter.fingerprint, last_failure(letter))))
