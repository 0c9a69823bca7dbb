"""`dlq stats|list|show`: reading the dead letters."""

from typing import Annotated, Any

import typer

from router.cli.exits import ExitCode, NothingMatched, complain
from router.cli.listing import Limit, first, print_list
from router.cli.output import JsonFlag, age, print_json, print_record, print_table, stamp
from router.cli.rows import (
    DEAD_LETTER_COLUMNS,
    attempt_json,
    dead_letter_json,
    dead_letter_row,
    error_group_json,
    event_json,
    text_of,
)
from router.cli.runtime import Session, for_reading, opened, run
from router.cli.selecting import What, narrowed, select_streams, selecting
from workers.dead_letters import DeadLetterEntry, DeadLetters
from workers.fingerprints import ErrorGroup
from workers.selector import Selector

__all__ = ["app", "dead_letters"]

app = typer.Typer(no_args_is_help=True, help="The dead letters: events that a subscription gave up.")


def dead_letters(session: Session, selector: Selector) -> DeadLetters:
    """Return the dead letters; raises UnknownStream for a glob that fits no stream, which is a slip of the pen."""
    select_streams(session.catalogue, selector.events)
    return DeadLetters(session.store, session.catalogue)


@app.command("list")
@selecting
def list_(selector: Selector, what: What = None, *, limit: Limit = None, as_json: JsonFlag = False) -> None:
    """List dead letters, newest first."""
    run(_list(narrowed(selector, what), limit, as_json=as_json))


async def _list(selector: Selector, limit: int | None, *, as_json: bool) -> None:
    async with opened(for_reading()) as session:
        letters = dead_letters(session, selector).newest(selector)
        await print_list(letters, DEAD_LETTER_COLUMNS, dead_letter_row, dead_letter_json, limit=limit, as_json=as_json)


@app.command()
@selecting
def stats(
    selector: Selector,
    what: What = None,
    *,
    fail_over: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Exit with 5 if there are more than N dead letters.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Count dead letters by what went wrong; details such as numbers and ids are folded."""
    groups = run(_stats(narrowed(selector, what)))
    if as_json:
        print_json([error_group_json(group) for group in groups])
    else:
        columns = ("COUNT", "SUBSCRIPTION", "EVENT", "ERROR", "FIRST", "LAST", "SAMPLE")
        print_table(columns, map(_stats_row, groups))
    total = sum(group.count for group in groups)
    if fail_over is not None and total > fail_over:
        complain(f"{total} dead letters are more than {fail_over}")
        raise typer.Exit(ExitCode.OVER_THRESHOLD)


async def _stats(selector: Selector) -> list[ErrorGroup]:
    async with opened(for_reading()) as session:
        return await dead_letters(session, selector).stats(selector)


def _stats_row(group: ErrorGroup) -> tuple[object, ...]:
    error = f"{group.error}: {group.message}" if group.error else group.message
    times = (f"{age(group.first_seen)} ago", f"{age(group.last_seen)} ago")
    return (group.count, group.subscription, group.stream, error, *times, group.sample)


@app.command()
@selecting
def show(
    selector: Selector,
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the event, or of the entry.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show a dead letter: its event, its bytes and every attempt. Of several the newest, unless options say which."""
    letter, others = run(_find(selector.narrowed(id_)))
    if as_json:
        print_json(_whole(letter))
    else:
        _print(letter)
    if others:
        complain("there are older ones of this id; see dlq list, and --subscription or --event")


async def _find(selector: Selector) -> tuple[DeadLetterEntry, bool]:
    async with opened(for_reading()) as session:
        letters = dead_letters(session, selector).newest(selector)
        found = [letter async for letter in first(letters, 2)]
    if not found:
        raise NothingMatched(f"no dead letter is {' or '.join(selector.ids)}; `event-router dlq list` shows them")
    return found[0], len(found) > 1


def _whole(letter: DeadLetterEntry) -> dict[str, Any]:
    return {
        **dead_letter_json(letter),
        "event": event_json(letter.event) if letter.event else None,
        "raw": text_of(letter.raw),
        "history": [attempt_json(attempt) for attempt in letter.attempts],
    }


def _print(letter: DeadLetterEntry) -> None:
    shown = dead_letter_json(letter)
    event = event_json(letter.event) if letter.event else {}
    print_record({**shown, **{name: value for name, value in event.items() if name not in shown}})
    for attempt in letter.attempts:
        heading = f"\nattempt {attempt.attempt}" if attempt.attempt else "\nlost worker"
        typer.echo(heading)
        print_record(
            {
                "at": stamp(attempt.at),
                "error": attempt.error,
                "message": attempt.message,
                "traceback": attempt.traceback,
            }
        )
