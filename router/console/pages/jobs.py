"""Changes under way: begun by a form, looked at on a page of their own, and stopped."""

from typing import Any

from router.console.change import Change, carry_out
from router.console.jobs import Job
from router.console.site import Page, go
from router.http.response import Response

__all__ = ["begin", "show", "stop"]

_PATIENCE = 1.5  # seconds to wait for a short change, so that its page says how it ended


async def begin(page: Page, change: Change[Any], *, title: str, back: str) -> Response:
    """Begin a change, and go to the page that tells how far it is; `back` is where to go from there."""
    console, actor = page.console, page.session.actor
    job = console.jobs.start(
        Job(title=title, done=change.done[change.verb], back=back),
        lambda job: carry_out(console.store, change, actor, job),
    )
    await console.jobs.settle(job, _PATIENCE)
    console.watch.forget()
    return go("/job", id=job.id)


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
