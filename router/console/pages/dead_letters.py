"""The dead letters: what went wrong how often, a list to choose from, and one letter with its story."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from router.console.forms import moment_in, streams_in
from router.console.page import Page, command
from router.console.paging import Cursor, list_page, search
from router.events.globs import short
from router.events.redact import redacted
from router.http.response import Response
from router.tasks.ending import in_time
from router.tasks.iterating import first
from workers.operations.answered import shown_message
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.letters import DeadLetters, ErrorGroup, grouped
from workers.operations.dead_letters.selector import Selector

FIELDS = ("subscription", "event", "error", "text", "resource", "company", "since", "until", "fingerprint")
"""The names of the fields, in the order of the form."""

_AS_TYPED = ("subscription", "error", "text", "resource", "company", "fingerprint")

Picked = tuple[str, str, str]
"""Which letter: its entry id, its stream, its subscription."""

_GROUPED = 2000
"""How many of the newest are grouped by what went wrong: all would take too long for a page."""

_GROUPS = 12
_PATIENCE = 5.0  # seconds for them


def selector_of(page: Page, typed: Mapping[str, str]) -> Selector:
    """Return the selector that the fields make; raises RouterError saying what is wrong."""
    given: dict[str, Any] = {name: typed[name] for name in _AS_TYPED if name in typed}
    if "event" in typed:
        given["events"] = ",".join(streams_in(typed["event"], page.console.catalogue))
    return Selector(**given, since=moment_in(typed, "since"), until=moment_in(typed, "until"))


async def list_(page: Page) -> Response:
    """List those that the form selects, and what they have in common."""
    letters = page.console.operations.letters

    def find(typed: Mapping[str, str], _cursor: Cursor) -> AsyncIterator[DeadLetterEntry]:
        return letters.newest(selector_of(page, typed))

    found = await search(page, FIELDS, find, lambda letter: letter.entry_id)
    is_whole = found.cursor == Cursor() and found.items and not found.given_up
    groups = await _groups(letters, selector_of(page, found.typed)) if is_whole else []
    return list_page(
        page,
        "dead_letters.html",
        found,
        groups=groups,
        grouped=sum(group.count for group in groups),
        most_grouped=_GROUPED,
        most_groups=_GROUPS,
        group_url=_group_url,
        letter_url=letter_url,
        pick_of=pick_of,
        type_of=partial(short, page.console.catalogue),
    )


async def show(page: Page) -> Response:
    """Show one letter, its values masked unless they are to be revealed."""
    letter = await _find(page)
    if letter is None:
        return _gone(page)
    subject = f"dead letter {letter.entry_id} of {letter.subscription} on {letter.stream}"
    key = await page.console.operations.key(letter.subscription, letter.key, most=1) if letter.key else None
    raw = await page.revealed(letter.raw, subject)
    return page.answer(
        "dead_letter.html",
        letter=letter,
        held_since=key[0].since if key else None,
        event=letter.event,
        url=letter_url(letter),
        pick=pick_of(letter),
        type_name=short(page.console.catalogue, letter.stream),
        raw=raw,
        message_of=partial(shown_message, reveal=raw is not None),
        masked=redacted(letter.raw),
    )


def _gone(page: Page) -> Response:
    query = page.request.query
    id_, stream, name = (query.get(field, "") for field in ("id", "stream", "subscription"))
    text = f"There is no dead letter {id_} of {name} on {stream}."
    do = "If there was, it was replayed, purged or kept for too long: the audit has who did it."
    shown = command("audit", "--verb", "dlq *")
    if not (id_ and stream and name):
        text = "The address names no dead letter: one has an id, a stream and a subscription."
        do, shown = "Choose one from the list.", command("dlq", "list")
    return page.problem("Gone", text, status=404, do=do, command=shown, back="/dead-letters")


async def _find(page: Page) -> DeadLetterEntry | None:
    """Return the letter that the URL names; None if it is not there."""
    query = page.request.query
    wanted = tuple(query.get(name, "") for name in ("id", "stream", "subscription"))
    selector = Selector(events=wanted[1], subscription=wanted[2]).narrowed(wanted[0])
    letters = page.console.operations.letters
    if not all(wanted) or wanted[1] not in page.console.catalogue.streams():
        return None
    found = [letter async for letter in first(letters.newest(selector), 2)]
    return next((letter for letter in found if key_of(letter) == wanted), None)


def key_of(letter: DeadLetterEntry) -> Picked:
    """Return what tells a letter from all others."""
    return letter.entry_id, letter.stream, letter.subscription


def letter_url(letter: DeadLetterEntry) -> str:
    """Return the page of a letter."""
    named = dict(zip(("id", "stream", "subscription"), key_of(letter), strict=True))
    return f"/dead-letter?{urlencode(named)}"


def pick_of(letter: DeadLetterEntry) -> str:
    """Return what a form sends to pick a letter; a name of a subscription may have blanks, the others have none."""
    return " ".join(key_of(letter))


async def _groups(letters: DeadLetters, selector: Selector) -> list[ErrorGroup]:
    """Return the commonest errors; none where the store takes too long: the page is there for its list."""
    try:
        return (await in_time(_PATIENCE, grouped(first(letters.newest(selector), _GROUPED))))[:_GROUPS]
    except TimeoutError:
        return []


def _group_url(typed: Mapping[str, str], group: ErrorGroup) -> str:
    which = {"subscription": group.subscription, "event": group.stream, "fingerprint": group.fingerprint}
    return f"/dead-letters?{urlencode({**typed, **which})}"
