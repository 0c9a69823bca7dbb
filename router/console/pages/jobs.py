"""Changes under way: begun by a form, looked at on a page of their own, and stopped."""

from functools import partial
from typing import Any

from router.console.jobs import Job
from router.console.site import Page, go
from router.http.response import Response
from workers.operations.change import Change

__all__ = ["begin", "show", "stop"]

_PATIENCE = 1.5  # seconds to wait for a short change, so that its page says how it ended


async def begin(
    page: Page,
    change: Change[Any],
    *,
    title: str,
    done: str,
    back: str,
    reason: str,
    rate: float | None = None,
) -> Response:
    """Begin a change, and go to the page that tells how far it is; `back` is where to go from there."""
    console = page.console
    work = partial(change.run, actor=page.session.actor, reason=reason, rate=rate)
    job = console.jobs.start(Job(title, done, back, change.result), work)
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
