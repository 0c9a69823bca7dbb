"""Changing what is quarantined: a look at what is selected, and a yes."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from config.errors import ConfigError
from router.console.forms import line_in, typed_in
from router.console.pages.jobs import begin
from router.console.pages.quarantine import FIELDS, entry_url, selector_of
from router.console.site import Page
from router.http.response import Response
from workers.operations.change import Change
from workers.operations.quarantined import Quarantined, QuarantineSelector

__all__ = ["carry", "preview"]

_REASON = 500  # characters
_SAMPLE = 8
_PATIENCE = 20.0  # seconds for counting
_DONE: Final = {"retry": "stored", "purge": "purged"}


async def preview(page: Page) -> Response:
    """Count what is selected and show some of it; nothing is changed yet."""
    sent = {name: str(value) for name, value in page.request.form.items()}
    try:
        selector = _meant(page, sent)
    except (ValueError, OverflowError, ConfigError) as error:
        return page.problem("That is not clear", str(error), status=400)
    seen = await _change(page, sent, selector).preview(_SAMPLE, _PATIENCE)
    typed = typed_in(sent, FIELDS)
    return page.answer(
        "quarantine_preview.html",
        verb=sent["verb"],
        seen=seen,
        typed=typed,
        until=seen.until.isoformat() if seen.until else "",
        since=selector.since.isoformat() if selector.since else "",
        back=_back(typed),
        entry_url=entry_url,
    )


async def carry(page: Page) -> Response:
    """Begin the change, and go to the page that tells how far it is."""
    sent = {name: str(value) for name, value in page.request.form.items()}
    try:
        selector = _meant(page, sent)
    except (ValueError, OverflowError, ConfigError) as error:
        return page.problem("That is not clear", str(error), status=400)
    return await begin(
        page,
        _change(page, sent, selector),
        title=f"{sent['verb'].capitalize()} what is quarantined",
        done=_DONE[sent["verb"]],
        back="/quarantine",
        reason=line_in(sent, "reason", _REASON),
    )


def _change(page: Page, sent: Mapping[str, str], selector: QuarantineSelector) -> Change[Quarantined]:
    operations = page.console.operations
    return (operations.purge_quarantined if sent["verb"] == "purge" else operations.retry_quarantined)(selector)


def _meant(page: Page, sent: Mapping[str, str]) -> QuarantineSelector:
    """Return what a form selects; raises ValueError where that is not clear."""
    if sent.get("verb") not in _DONE:
        raise ValueError("Choose whether to retry or to purge.")
    selector = selector_of(page, typed_in(sent, FIELDS))
    if sent["verb"] == "purge" and selector.is_empty:
        raise ValueError("Purging takes a filter: it never removes everything.")
    return selector


def _back(typed: Mapping[str, str]) -> str:
    kept = {name: typed[name] for name in FIELDS if name in typed and name != "id"}
    return f"/quarantine?{urlencode(kept)}" if kept else "/quarantine"
