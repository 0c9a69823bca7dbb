"""`events show`: one event with its whole life."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from router.cli.command.exits import NothingMatched
from router.cli.command.runtime import operate
from router.cli.output.listing import Reveal
from router.cli.output.results import JsonFlag, age, fields_of, number_of, print_json, print_line, print_record, stamp
from router.cli.output.rows import attempt_json, event_json, is_masked, print_attempt, say_masked, unsigned
from router.cli.output.table import SUBSCRIPTION, Column, print_table, rest
from router.cli.output.waiting import company_limit_text, pause_json
from router.events.event import Event
from router.store.reading import moment_of
from workers.operations.events import StoredEvent
from workers.operations.life import Life, Place
from workers.operations.operations import Operations
from workers.operations.reveal import revealed
from workers.state.companies import CompanyPause
from workers.state.pauses import Pause

_COLUMNS = (SUBSCRIPTION, Column("STATE"), Column("ATTEMPTS", right=True), rest("WHAT IS KNOWN", "wrap"))


def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the event.")],
    *,
    attempts: Annotated[bool, typer.Option("--attempts", help="Show how each attempt failed so far.")] = False,
    reveal: Reveal = False,
    as_json: JsonFlag = False,
) -> None:
    """Show one event: what it says, when it came, and where it is for each subscription.

    The values of the body are masked without --reveal. What a subscription has finished leaves nothing behind: it is
    done, and how many attempts that took is not known.
    """

    async def find(operations: Operations) -> tuple[Event, Life]:
        stored, event = await found_event(operations, id_)
        life = await operations.life(stored)
        if reveal:
            await revealed(operations.store, event.raw, subject=event.id)
        return event, life

    event, found = operate(find)
    if as_json:
        print_json(_life_json(event, found, reveal=reveal))
        return
    shown = event_json(event, reveal=reveal)
    _print(unsigned({"stream": event.stream, **shown}), found)
    if attempts:
        _print_attempts(found, reveal=reveal)
    errors = [error for place in found.subscriptions for error in place.errors] if attempts else []
    if is_masked(shown, errors, reveal=reveal):
        say_masked()


async def found_event(operations: Operations, id_: str) -> tuple[StoredEvent, Event]:
    """Return the newest event of an id, and where it is stored; raises NothingMatched."""
    stored = await operations.event(id_)
    if stored is None or stored.event is None:
        raise NothingMatched(f"no event {id_!r} was found; `event-router events list` shows the newest")
    return stored, stored.event


def _life_json(event: Event, found: Life, *, reveal: bool) -> dict[str, Any]:
    return {
        **event_json(event, reveal=reveal),
        **fields_of(found, "entry_id", "stored_at", "duplicates"),
        "subscriptions": [_place_json(place, reveal=reveal) for place in found.subscriptions],
    }


def _place_json(place: Place, *, reveal: bool) -> dict[str, Any]:
    where = fields_of(place, "subscription", "state", "attempts", "since", "due_at", "consumer", "renewed_at")
    more = fields_of(place, "deliveries", "dead_entry_id", "reason")
    in_line = fields_of(place, "key", "behind", "merged_into")
    of_keyed = {**in_line, "company_limit": place.limit} if any(in_line.values()) else {}
    return {
        **where,
        **more,
        **of_keyed,
        **_deferrals_json(place),
        **({"echo": True} if place.echo else {}),
        **({"once": True} if place.once else {}),
        **({"skipped": True} if place.skipped else {}),
        **({"paused": pause_json(place.paused)} if place.paused else {}),
        "errors": [attempt_json(error, reveal=reveal) for error in place.errors],
    }


def _deferrals_json(place: Place) -> dict[str, Any]:
    if (found := place.deferrals) is None:
        return {}
    since = moment_of(f"{found.since}-0")
    return {"deferred": found.times, "deferred_since": stamp(since), "deferred_for": found.reason}


def _print(event: Mapping[str, Any], found: Life) -> None:
    entry = fields_of(found, "entry_id", "stored_at", "duplicates")
    if found.duplicates is None:
        entry["duplicates"] = "not known: the deduplication window is over or 0"
    print_record({**event, **entry})
    if found.subscriptions:
        print_line("")
        rows = [
            (place.subscription, place.shown_state, place.attempts, place_text(place)) for place in found.subscriptions
        ]
        print_table(_COLUMNS, rows)


def place_text(place: Place) -> str:
    """Return in a few words what is known of an event where it is."""
    return f"{_where(place)}; {_pause_text(place.paused)}" if place.paused else _where(place)


def _pause_text(found: Pause | CompanyPause) -> str:
    return found.text() if isinstance(found, CompanyPause) else f"the subscription is {found.text()}"


def _where(place: Place) -> str:
    if place.key is not None or place.merged_into is not None:
        return _in_line_text(place)
    if place.state == "pending":
        times = f", handed out {number_of(place.deliveries, 'time')}" if place.deliveries else ""
        held = f", its hold renewed {age(place.renewed_at)} ago" if place.renewed_at else ""
        return f"held by {place.consumer}{held}{times}"
    if place.state == "scheduled":
        return f"the next attempt is due {stamp(place.due_at)}{_deferrals(place)}{_last_error(place)}"
    if place.state == "dead":
        return f"{place.reason or 'given up'}{_deferrals(place)}{_last_error(place)}; dead letter {place.dead_entry_id}"
    return _without_handler(place) or _WORDS[place.state] + _deferrals(place) + _last_error(place)


def _without_handler(place: Place) -> str:
    """Return why the handler was left out; empty where it was not."""
    if place.skipped:
        return f"skipped by the filter of {place.subscription}"
    if place.once:
        return "its effect was there already when it was delivered last (once)"
    return "an echo: its record held nothing new but writes of ours" if place.echo else ""


def _in_line_text(place: Place) -> str:
    """Return what is known of an event that is in the line of its key, or ended with a later one of that."""
    parts = []
    if place.merged_into:
        is_over = place.state in ("pending", "dead")
        parts.append(f"{'' if is_over else 'will be '}merged into {place.merged_into}")
    if place.behind:
        parts.append(f"waits behind {place.behind}")
    if place.state == "dead":
        parts.append(f"{place.reason or 'given up'}; dead letter {place.dead_entry_id}")
    elif place.state == "held":
        parts.append("its key waits for an operator: see event-router keys")
    elif place.state == "pending":
        parts.append(f"held by {place.consumer}")
    elif place.state == "scheduled":
        parts.append(f"the next attempt is due {stamp(place.due_at)}")
    elif place.limit and not place.paused:
        parts.append(company_limit_text(place.limit))
    key = f"; key {place.key}" if place.key else ""
    return ("; ".join(parts) or _WORDS["undelivered"]) + _deferrals(place) + _last_error(place) + key


_WORDS = {
    "undelivered": "waits for a worker",
    "inbox": "waits for a worker once more",
    "done": "nothing is left to do",
    "unknown": "its places hold too much to look through",
}


def _deferrals(place: Place) -> str:
    if (found := place.deferrals) is None:
        return ""
    since = stamp(moment_of(f"{found.since}-0"))
    reason = found.reason.partition("\n")[0]
    return f"; deferred {number_of(found.times, 'time')} since {since}: {reason}"


def _last_error(place: Place) -> str:
    if not place.errors:
        return ""
    last = place.errors[-1]
    return f"; {last.error}: {last.message}".partition("\n")[0]


def _print_attempts(found: Life, *, reveal: bool) -> None:
    for place in found.subscriptions:
        for error in place.errors:
            print_attempt(f"{place.subscription}, ", error, reveal=reveal)
        if not place.errors:
            why = "no attempt has failed" if place.attempts == 0 else "nothing is kept of its attempts"
            print_line(f"\n{place.subscription}: {why}")
