"""The quarantine: what was signed, but could not be understood."""

from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlencode

from router.console.forms import Unclear, moment_in, typed_in
from router.console.page import Page, command
from router.console.paging import Cursor, list_page, search, taken
from router.events.redact import redacted
from router.http.response import Response
from workers.operations.criteria import Ids
from workers.operations.quarantined import Quarantined, QuarantineSelector

FIELDS = ("publisher", "text", "company", "since", "until", "id")
"""The names of the fields of the form; an id is of one entry."""


def selector_of(page: Page, typed: Mapping[str, str]) -> QuarantineSelector:
    """Return the selector that the fields make; raises RouterError saying what is wrong."""
    slug, catalogue = typed.get("publisher"), page.console.catalogue
    if slug is not None and slug not in catalogue.publishers:
        raise Unclear(catalogue.no_publisher(slug))
    slugs = frozenset([slug] if slug else ())
    ids = Ids.of([typed["id"]] if "id" in typed else [])
    since, until = moment_in(typed, "since"), moment_in(typed, "until")
    return QuarantineSelector(slugs, typed.get("text"), ids, since, until, typed.get("company"))


async def list_(page: Page) -> Response:
    """List what was quarantined, newest first."""

    def find(typed: Mapping[str, str], _cursor: Cursor) -> AsyncIterator[Quarantined]:
        return page.console.operations.quarantined(selector_of(page, typed))

    found = await search(page, FIELDS, find, lambda entry: entry.entry_id)
    publishers = list(page.console.catalogue.publishers)
    return list_page(page, "quarantine.html", found, publishers=publishers, entry_url=entry_url)


async def show(page: Page) -> Response:
    """Show one body, its values masked unless they are to be revealed."""
    found = await _find(page)
    if found is None:
        return _gone(page)
    raw = await page.revealed(found.raw, f"quarantined {found.entry_id} of {found.publisher}")
    size, masked = len(found.raw), redacted(found.raw)
    return page.answer("quarantined.html", found=found, size=size, url=entry_url(found), raw=raw, masked=masked)


def _gone(page: Page) -> Response:
    query = page.request.query
    text = f"Nothing is quarantined at {query.get('id') or 'no id'} of {query.get('publisher') or 'no publisher'}."
    do = "If it was, it was retried, purged or kept for too long: the audit has who did it; a retry made it an event."
    shown = command("audit", "--verb", "quarantine *")
    return page.problem("Gone", text, status=404, do=do, command=shown, back="/quarantine")


def entry_url(found: Quarantined) -> str:
    """Return the page of an entry."""
    return f"/quarantined?{urlencode({'publisher': found.publisher, 'id': found.entry_id})}"


async def _find(page: Page) -> Quarantined | None:
    typed = typed_in(page.request.query, FIELDS)
    if not {"publisher", "id"} <= typed.keys() or typed["publisher"] not in page.console.catalogue.publishers:
        return None
    found = page.console.operations.quarantined(selector_of(page, {name: typed[name] for name in ("publisher", "id")}))
    listed = await taken(found, Cursor(), lambda entry: entry.entry_id)
    return listed.items[0] if listed.items else None
