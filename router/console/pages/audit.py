"""The audit: who changed what, or saw what is hidden otherwise."""

from collections.abc import AsyncIterator, Mapping

from router.console.forms import moment_in
from router.console.page import Page
from router.console.paging import Cursor, list_page, search
from router.http.response import Response
from workers.operations.audit import AuditLine

_FIELDS = ("verb", "actor", "since", "until")


async def list_(page: Page) -> Response:
    """List the lines of the audit, newest first."""

    def find(typed: Mapping[str, str], cursor: Cursor) -> AsyncIterator[AuditLine]:
        since, until = moment_in(typed, "since"), cursor.within(moment_in(typed, "until"))
        verb, actor = typed.get("verb"), typed.get("actor")
        return page.console.operations.audit(verb=verb, actor=actor, since=since, until=until)

    return list_page(page, "audit.html", await search(page, _FIELDS, find, lambda line: line.id))
