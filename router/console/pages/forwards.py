"""The forwards: where each goes, whether it runs, and how its last exchange ended."""

from router.console.page import Page
from router.http.response import Response


async def list_(page: Page) -> Response:
    """List the forwards; those of which something is wrong come first."""
    found = sorted(await page.console.operations.forwards(), key=lambda forward: forward.state == "running")
    return page.answer("forwards.html", forwards=found)
