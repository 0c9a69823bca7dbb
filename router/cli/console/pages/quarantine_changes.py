"""Changing what is quarantined: a look at what is meant, and a yes."""

from collections.abc import Mapping
from urllib.parse import urlencode

from aiohttp import web

from config.errors import ConfigError
from router.cli.console.jobs import Job
from router.cli.console.pages.quarantine import FIELDS, entry_url, selector_of, typed_in
from router.cli.console.quarantine_changing import DONE, Change, carry_out, previewed
from router.cli.console.site import Page, go
from router.quarantine import QuarantineSelector

__all__ = ["carry", "preview"]

_PATIENCE = 1.5  # seconds to wait for a short change, so that its page says how it ended
_REASON = 500  # characters


async def preview(page: Page) -> web.StreamResponse:
    """Count what is meant and show some of it; nothing is changed yet."""
    sent = {name: str(value) for name, value in (await page.request.post()).items()}
    try:
        selector = _meant(page, sent)
    except (ValueError, OverflowError, ConfigError) as error:
        return page.problem("That is not clear", str(error), status=400)
    seen = await previewed(page.console.store, page.console.catalogue, selector)
    typed = typed_in(sent)
    return page.answer(
        "quarantine_preview.html",
        verb=sent["verb"],
        seen=seen,
        typed=typed,
        until=seen.until.isoformat() if seen.until else "",
        since=selector.since.isoformat() if selector.since else "",
        back=_back(typed),
        entry_url=entry_url,
    )


async def carry(page: Page) -> web.StreamResponse:
    """Begin the change, and go to the page that tells how far it is."""
    sent = {name: str(value) for name, value in (await page.request.post()).items()}
    try:
        selector = _meant(page, sent)
    except (ValueError, OverflowError, ConfigError) as error:
        return page.problem("That is not clear", str(error), status=400)
    console, actor = page.console, page.session.actor
    change = Change(sent["verb"], selector, " ".join(sent.get("reason", "").split())[:_REASON])
    title = f"{change.verb.capitalize()} what is quarantined"
    limits = console.settings.ingress
    started = console.jobs.start(
        Job(title=title, done=DONE[change.verb], back="/quarantine"),
        lambda job: carry_out(console.store, console.catalogue, limits, change, actor, job),
    )
    await console.jobs.settle(started, _PATIENCE)
    console.watch.forget()
    return go("/job", id=started.id)


def _meant(page: Page, sent: Mapping[str, str]) -> QuarantineSelector:
    """Return what a form selects; raises ValueError where that is not clear."""
    if sent.get("verb") not in DONE:
        raise ValueError("Choose whether to retry or to purge.")
    selector = selector_of(page, typed_in(sent))
    if sent["verb"] == "purge" and selector.is_empty:
        raise ValueError("Purging takes a filter: it never removes everything.")
    return selector


def _back(typed: Mapping[str, str]) -> str:
    kept = {name: typed[name] for name in FIELDS if name in typed and name != "id"}
    return f"/quarantine?{urlencode(kept)}" if kept else "/quarantine"
