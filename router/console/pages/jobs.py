"""Changes under way: looked at on a page of their own, and stopped."""

from router.console.site import Page, go
from router.http.response import Response


async def show(page: Page) -> Response:
    """Tell how far a change is."""
    found = page.console.jobs.find(page.request.query.get("id", ""))
    if found is None:
        return page.problem("Gone", "This change is not known any more; the audit has it.", status=404)
    return page.answer("job.html", job=found)


async def stop(page: Page) -> Response:
    """Stop a change where it is."""
    id_ = str(page.request.form.get("id", ""))
    await page.console.jobs.stop(id_)
    return go("/job", id=id_)
