"""The audit: who changed what, or saw what is hidden otherwise."""

from urllib.parse import urlencode

from aiohttp import web

from router import audit
from router.cli.console.paging import Cursor, Listed, taken
from router.cli.console.selection import moment_in
from router.cli.console.site import Page

__all__ = ["list_"]

_FIELDS = ("verb", "actor", "since", "until")


async def list_(page: Page) -> web.StreamResponse:
    """List the lines of the audit, newest first."""
    query = page.request.query
    typed = {name: query[name].strip() for name in _FIELDS if query.get(name, "").strip()}
    cursor, problem, listed = Cursor.of(query), None, Listed[audit.AuditLine]()
    try:
        since, until = moment_in(typed, "since"), cursor.within(moment_in(typed, "until"))
    except (ValueError, OverflowError) as error:
        problem = str(error)
    else:
        verb, actor = typed.get("verb"), typed.get("actor")
        found = audit.lines(page.console.store, verb=verb, actor=actor, since=since, until=until)
        listed = await taken(found, cursor, lambda line: line.id)
    return page.answer(
        "audit.html",
        status=400 if problem else 200,
        typed=typed,
        problem=problem,
        lines=listed.items,
        following=listed.following and f"/audit?{urlencode({**typed, **listed.following})}",
        is_first=cursor == Cursor(),
        given_up=listed.given_up,
    )
