"""The schema: which fields the notifications of each type have, and what has changed in them."""

from router.console.page import Page
from router.http.response import Response
from router.store.reading import moment_at

_SHOWN = 50


async def list_(page: Page) -> Response:
    """List the types, those with a change first, and the fields of the one that was chosen."""
    found = await page.console.operations.schemas()
    chosen = next((one for one in found if one.stream == page.request.query.get("event")), None)
    types = sorted(found, key=lambda one: -len(one.lasting))
    reports = sorted(
        ((one.stream, report) for one in found for report in one.reports), key=lambda row: row[1].at, reverse=True
    )
    return page.answer("schema.html", types=types, chosen=chosen, reports=reports[:_SHOWN], moment_at=moment_at)
