"""Reconciliations: how far the sweeps of each company are, and what they found."""

from router.console.page import Page
from router.http.response import Response
from workers.state.reconcile import moment


async def list_(page: Page) -> Response:
    """List the companies of each reconciliation; those that wait for an operator, or fail, come first."""
    found = await page.console.operations.reconciliations()
    first = sorted(found, key=lambda each: each.state not in ("held", "failing"))
    return page.answer("reconcile.html", companies=first, moment_of=moment)
