"""The limits: how the quotas stand that workers share."""

from router.console.site import Page
from router.http.response import Response


async def list_(page: Page) -> Response:
    """List the limits with each of their quotas; those that calls wait for come first."""
    found = await page.console.operations.limits()
    quotas = {limit.name: sorted(limit.quotas, key=lambda quota: not quota.waits)[:_SHOWN] for limit in found}
    return page.answer("limits.html", limits=found, quotas=quotas)


_SHOWN = 200
