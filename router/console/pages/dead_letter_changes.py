"""Changing dead letters: a look at what is selected, and a yes."""

from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from router.console.dlq_form import FIELDS, Selection
from router.console.forms import line_in
from router.console.pages.dead_letters import Picked, key_of, letter_url, pick_of
from router.console.pages.jobs import begin
from router.console.site import Page
from router.events.globs import short
from router.http.response import Response
from workers.operations.change import Change
from workers.operations.dead_letters.letters import DeadLetterEntry

__all__ = ["carry", "preview"]

_REASON = 500  # characters
_FASTEST = 100_000.0
_SAMPLE = 8
_PATIENCE = 20.0  # seconds for counting
_DONE: Final = {"replay": "replayed", "purge": "purged"}


async def preview(page: Page) -> Response:
    """Count what is selected and show some of it; nothing is changed yet."""
    sent = page.request.form
    selection = Selection.of(sent, page.console.catalogue)
    picked = _picked(sent)
    if problem := _problem(sent, selection, picked):
        return page.problem("That is not clear", problem, status=400)
    console = page.console
    seen = await _change(page, selection, picked).preview(_SAMPLE, _PATIENCE)
    return page.answer(
        "preview.html",
        verb=sent["verb"],
        seen=seen,
        selection=selection,
        picks=sorted(" ".join(pick) for pick in picked),
        until=seen.until.isoformat() if seen.until else "",
        since=selection.selector.since.isoformat() if selection.selector.since else "",
        away=await console.operations.without_worker(seen.subscriptions),
        back=f"/dead-letters?{urlencode(selection.typed)}",
        letter_url=letter_url,
        pick_of=pick_of,
        type_of=partial(short, console.catalogue),
    )


async def carry(page: Page) -> Response:
    """Begin the change, and go to the page that tells how far it is."""
    sent = page.request.form
    selection = Selection.of(sent, page.console.catalogue)
    picked = _picked(sent)
    if problem := _problem(sent, selection, picked):
        return page.problem("That is not clear", problem, status=400)
    try:
        rate = _rate(sent)
    except ValueError as error:
        return page.problem("That is not clear", str(error), status=400)
    verb = str(sent["verb"])
    return await begin(
        page,
        _change(page, selection, picked),
        title=f"{verb.capitalize()} dead letters",
        done=_DONE[verb],
        back=_back(sent, selection),
        reason=line_in(sent, "reason", _REASON),
        rate=rate,
    )


def _change(page: Page, selection: Selection, picked: frozenset[Picked]) -> Change[DeadLetterEntry]:
    """Return the change of the letters selected, or only of those picked: then no more is read than they need."""
    operations = page.console.operations
    purges = page.request.form["verb"] == "purge"
    change = operations.purge_dead_letters if purges else operations.replay_dead_letters
    if not picked:
        return change(selection.selector)
    narrowed = selection.selector.narrowed(*(entry_id for entry_id, _, _ in picked))
    return change(narrowed, where=lambda letter: key_of(letter) in picked)


def _picked(sent: Any) -> frozenset[Picked]:
    picks = [str(value).split(" ", 2) for value in sent.all("pick")]
    return frozenset((pick[0], pick[1], pick[2]) for pick in picks if len(pick) == 3)  # noqa: PLR2004 - its parts


def _problem(sent: Any, selection: Selection, picked: frozenset[Picked]) -> str | None:
    """Return why this choice is refused; an empty one must not mean everything."""
    if sent.get("verb") not in _DONE:
        return "Choose whether to replay or to purge."
    if selection.problem:
        return selection.problem
    if sent.get("which") != "all" and not picked:
        return "Nothing is chosen: tick letters, or take all that match."
    if (
        sent.get("which") == "all"
        and sent.get("verb") == "purge"
        and not any(name in selection.typed for name in FIELDS)
    ):
        return "Purging takes a filter: it never removes everything."
    return None


def _rate(sent: Any) -> float | None:
    text = str(sent.get("rate", "")).strip()
    if not text:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.01 <= rate <= _FASTEST:  # noqa: PLR2004 - as on the command line
        raise ValueError(f"{text!r} is no rate: write how many a second, such as 10")
    return rate


def _back(sent: Any, selection: Selection) -> str:
    typed = {name: text for name, text in selection.typed.items() if name != "until" or sent.get("given_until")}
    return f"/dead-letters?{urlencode(typed)}" if typed else "/dead-letters"
