"""The audit: who changed what, or saw what is hidden otherwise."""

from router.console.forms import moment_in, typed_in
from router.console.paging import Cursor, Listed, list_page, taken
from router.console.site import Page
from router.http.response import Response
from workers.operations import audit

__all__ = ["list_"]

_FIELDS = ("verb", "actor", "since", "until")


async def list_(page: Page) -> Response:
    """List the lines of the audit, newest first."""
    query = page.request.query
    typed, cursor = typed_in(query, _FIELDS), Cursor.of(query)
    problem, listed = None, Listed[audit.AuditLine]()
    try:
        since, until = moment_in(typed, "since"), cursor.within(moment_in(typed, "until"))
    except (ValueError, OverflowError) as error:
        problem = str(error)
    else:
        verb, actor = typed.get("verb"), typed.get("actor")
        found = page.console.operations.audit(verb=verb, actor=actor, since=since, until=until)
        listed = await taken(found, cursor, lambda line: line.id)
    return list_page(page, "audit.html", typed, cursor, listed, problem)
