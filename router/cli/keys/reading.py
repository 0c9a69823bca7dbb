"""`keys list|show`: the keys of a keyed subscription, and the options that select of them."""

from typing import Annotated, Any

import typer

from router.cli.command.exits import NothingMatched, complain
from router.cli.command.runtime import none_named, operate
from router.cli.options.common import Company, Resource, taking
from router.cli.options.completing import subscriptions
from router.cli.output.listing import Listing, print_list
from router.cli.output.results import JsonFlag, age, fields_of, number_of, print_json, print_line, print_record, stamp
from router.cli.output.rows import event_cell
from router.cli.output.table import EVENT, Column, TwoForms, ident, print_table, rest
from router.cli.output.waiting import company_limit_text, pause_json
from router.events.catalogue import Catalogue
from workers.operations.keys.line_keys import KeySelector, LineEvent, LineKey
from workers.operations.operations import Operations
from workers.state.pauses import Pause

_SHOWN = 50
_SHOWN_IN_JSON = 1000

KEY_COLUMNS = (
    Column("KEY", shrink=((4, 30), (7, 20)), cut="middle"),
    Column("STATE"),
    Column("EVENTS", right=True),
    Column("OLDEST", drawn="AGE", right=True),
    Column("COMPANY", right=True, drop=3),
    ident("FIRST EVENT", drop=6),
    rest("WHAT IS KNOWN"),
)
_EVENT_COLUMNS = (
    ident("ID"),
    EVENT,
    Column("TIME", drawn="AGE", right=True),
    Column("ATTEMPTS", right=True),
    rest("WHAT IS KNOWN"),
)

Subscribed = Annotated[
    str,
    typer.Argument(metavar="SUBSCRIPTION", help="A subscription that has a key.", autocompletion=subscriptions),
]


def selected(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="One key, as `keys list` shows it.")] = None,
    *,
    held: Annotated[bool, typer.Option("--held", help="Only keys that wait for an operator.")] = False,
    company: Company = None,
    resource: Resource = None,
) -> KeySelector:
    """Declare the options, and make of what is given the selector."""
    return KeySelector(key, held, company, resource)


@taking(listing=Listing)
def list_(
    subscription: Subscribed,
    *,
    held: Annotated[bool, typer.Option("--held", help="Only keys that wait for an operator.")] = False,
    company: Company = None,
    resource: Resource = None,
    listing: Listing,
) -> None:
    """List the keys of a subscription that have events, in order of their names; then held ones without events.

    A key is ready for a worker, scheduled for the next attempt, quiet while more to merge may come, running with a
    worker, or held: a dead letter has stopped it until an operator releases it. OLDEST is when the oldest of its events
    came. With --held the order is that of the store.
    """
    selector = KeySelector(None, held, company, resource)
    print_list(
        lambda operations: operations.keys(subscription, selector),
        KEY_COLUMNS,
        key_row,
        key_json,
        listing,
        nothing=lambda operations: no_keys(operations, subscription),
        also=lambda operations: pause_of(operations, subscription),
    )


async def pause_of(operations: Operations, subscription: str) -> str | None:
    """Return that a subscription is paused as a whole; None where it is not."""
    found = await operations.paused(subscription)
    return f"{subscription} is {found.text()}" if found else None


async def no_keys(operations: Operations, subscription: str) -> str | None:
    """Return why a subscription can have no keys; None where it has none just now."""
    if words := await none_named(operations, subscription):
        return words
    if await operations.is_keyed(subscription):
        return None
    return f"{subscription} has no keys: it is defined without key=, or no worker has run since it has one"


def key_row(_catalogue: Catalogue, found: LineKey) -> tuple[object, ...]:
    """Return the cells of KEY_COLUMNS."""
    oldest = found.oldest_at
    came = TwoForms(stamp(oldest), age(oldest) if oldest else None)
    return (found.key, found.state, found.events, came, found.company, found.first_id, key_text(found))


def key_text(found: LineKey) -> str | None:
    """Return in a few words what is known of a key besides its state."""
    waits = [found.paused.text()] if found.paused else []
    if found.state == "ready" and found.limit and not waits:
        waits = [company_limit_text(found.limit)]
    return "; ".join([*filter(None, [_state_text(found)]), *waits]) or None


def _state_text(found: LineKey) -> str | None:
    if found.state == "held":
        return f"since {stamp(found.since)}"
    if found.state == "running":
        return f"held by {found.worker}"
    if found.until is not None:
        return f"until {stamp(found.until)}"
    return None


def key_json(found: LineKey) -> dict[str, Any]:
    """Return a key as JSON has it."""
    what = ("key", "state", "events", "company", "resource", "first_id", "oldest_at", "since", "until", "worker")
    waits = {"company_paused": pause_json(found.paused), "company_limit": found.limit}
    return {**fields_of(found, *what), **waits}


def show(
    subscription: Subscribed,
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `keys list` shows it.")],
    *,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help=f"At most so many events; {_SHOWN} in a table, {_SHOWN_IN_JSON} in JSON."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show one key: its state, and its events in the order in which they will be handled."""
    most = limit or (_SHOWN_IN_JSON if as_json else _SHOWN)
    catalogue, pause, found, line = operate(lambda operations: _find(operations, subscription, key, most))
    shown = key_json(found)
    if as_json:
        paused = {"paused": pause_json(pause)}
        print_json({"subscription": subscription, **paused, **shown, "line": [_event_json(event) for event in line]})
        return
    words = {"paused": pause.text() if pause else None, "waits": key_text(found)}
    kept = {name: value for name, value in shown.items() if not name.startswith("company_")}
    print_record({"subscription": subscription, **kept, **words})
    if line:
        print_line("")
        print_table(_EVENT_COLUMNS, [_event_row(catalogue, event) for event in line])
    if len(line) < found.events and len(line) == most:
        complain(f"{number_of(found.events - len(line), 'event')} more; see --limit")


async def _find(
    operations: Operations, subscription: str, key: str, most: int
) -> tuple[Catalogue, Pause | None, LineKey, list[LineEvent]]:
    found = await operations.key(subscription, key, most=most)
    if found is None:
        why = await no_keys(operations, subscription) or f"{subscription} has nothing of the key {key!r} now"
        raise NothingMatched(f"{why}; `event-router keys list {subscription}` shows what waits")
    return operations.catalogue, await operations.paused(subscription), *found


def _event_json(event: LineEvent) -> dict[str, Any]:
    shown = fields_of(event, "id", "type", "stream", "at", "attempts", "merged_into", "reason")
    return {**shown, "merged": [fields_of(merged, "id", "type", "at") for merged in event.merged]}


def _event_row(catalogue: Catalogue, event: LineEvent) -> tuple[object, ...]:
    is_over = event.is_handled or event.reason
    merged = f"{'' if is_over else 'will be '}merged into {event.merged_into}" if event.merged_into else None
    dead = f"becomes a dead letter: {event.reason}" if event.reason else None
    came = TwoForms(stamp(event.at), age(event.at))
    before = f"stands for {number_of(len(event.merged), 'earlier event')} too" if event.merged else None
    known = "; ".join(part for part in (merged or dead, before) if part) or None
    return (event.id, event_cell(catalogue, event.stream), came, event.attempts, known)
