"""The limits and breakers: how the quotas stand that workers share, and which targets are down."""

from router.console.page import Page
from router.http.response import Response


async def list_(page: Page) -> Response:
    """List the breakers, then the limits with each of their quotas; what calls wait for comes first."""
    found = await page.console.operations.limits()
    quotas = {limit.name: sorted(limit.quotas, key=lambda quota: not quota.waits)[:_SHOWN] for limit in found}
    breakers = sorted(await page.console.operations.breakers(), key=lambda breaker: not breaker.is_open)
    return page.answer("limits.html", limits=found, quotas=quotas, breakers=breakers)


_SHOWN = 200
