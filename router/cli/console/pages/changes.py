"""Changing dead letters: a look at what is meant, a yes, and how far it is."""

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from router.cli.console.changing import DONE, Order, Picked, carry_out, previewed
from router.cli.console.jobs import Job
from router.cli.console.pages.dead_letters import letter_url, pick_of
from router.cli.console.selection import FIELDS, Selection
from router.cli.console.site import Page, go
from router.globs import short
from workers.liveness import live_consumers

__all__ = ["carry", "job", "preview", "stop"]

_PATIENCE = 1.5  # seconds to wait for a short change, so that its page says how it ended
_REASON = 500  # characters
_FASTEST = 100_000.0


async def preview(page: Page) -> web.StreamResponse:
    """Count what is meant and show some of it; nothing is changed yet."""
    sent = await page.request.post()
    selection = Selection.of(sent, page.console.catalogue)
    picked = _picked(sent)
    if problem := _problem(sent, selection, picked):
        return page.problem("That is not clear", problem, status=400)
    console = page.console
    order = Order(str(sent["verb"]), selection.selector, picked).narrowed()
    seen = await previewed(console.store, console.catalogue, order)
    alive = await live_consumers(console.store, sorted(seen.subscriptions), console.settings.workers.lease)
    return page.answer(
        "preview.html",
        verb=order.verb,
        seen=seen,
        selection=selection,
        picks=sorted(" ".join(pick) for pick in picked),
        until=seen.until.isoformat() if seen.until else "",
        since=selection.selector.since.isoformat() if selection.selector.since else "",
        away=sorted(name for name, consumers in alive.items() if not consumers),
        back=f"/dead-letters?{urlencode(selection.typed)}",
        letter_url=letter_url,
        pick_of=pick_of,
        type_of=lambda stream: short(console.catalogue, stream),
    )


async def carry(page: Page) -> web.StreamResponse:
    """Begin the change, and go to the page that tells how far it is."""
    sent = await page.request.post()
    selection = Selection.of(sent, page.console.catalogue)
    picked = _picked(sent)
    try:
        if problem := _problem(sent, selection, picked):
            return page.problem("That is not clear", problem, status=400)
        order = Order(str(sent["verb"]), selection.selector, picked, _reason(sent), _rate(sent)).narrowed()
    except ValueError as error:
        return page.problem("That is not clear", str(error), status=400)
    console, actor = page.console, page.session.actor
    started = console.jobs.start(
        Job(title=f"{order.verb.capitalize()} dead letters", done=DONE[order.verb], back=_back(sent, selection)),
        lambda job: carry_out(console.store, console.catalogue, order, actor, job),
    )
    await console.jobs.settle(started, _PATIENCE)
    console.watch.forget()
    return go("/job", id=started.id)


async def job(page: Page) -> web.StreamResponse:
    """Tell how far a change is."""
    found = page.console.jobs.find(page.request.query.get("id", ""))
    if found is None:
        return page.problem("Gone", "This change is not known any more; the audit has it.", status=404)
    return page.answer("job.html", job=found)


async def stop(page: Page) -> web.StreamResponse:
    """Stop a change where it is."""
    id_ = str((await page.request.post()).get("id", ""))
    await page.console.jobs.stop(id_)
    return go("/job", id=id_)


def _picked(sent: Any) -> frozenset[Picked]:
    picks = [str(value).split(" ", 2) for value in sent.getall("pick", ())]
    return frozenset((pick[0], pick[1], pick[2]) for pick in picks if len(pick) == 3)  # noqa: PLR2004 - its parts


def _problem(sent: Any, selection: Selection, picked: frozenset[Picked]) -> str | None:
    """Return why this cannot be meant; an empty choice must not mean everything."""
    if sent.get("verb") not in DONE:
        return "Choose whether to replay or to purge."
    if selection.problem:
        return selection.problem
    if sent.get("which") != "all" and not picked:
        return "Nothing is chosen: tick the letters that are meant, or take all that match."
    if (
        sent.get("which") == "all"
        and sent.get("verb") == "purge"
        and not any(name in selection.typed for name in FIELDS)
    ):
        return "Purging takes a filter: it never removes everything."
    return None


def _reason(sent: Any) -> str:
    return " ".join(str(sent.get("reason", "")).split())[:_REASON]


def _rate(sent: Any) -> float | None:
    text = str(sent.get("rate", "")).strip()
    if not text:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.01 <= rate <= _FASTEST:  # noqa: PLR2004 - as on the command line
        raise ValueError(f"{text!r} is no rate: write how many a second, such as 10")
    return rate


def _back(sent: Any, selection: Selection) -> str:
    typed = {name: text for name, text in selection.typed.items() if name != "until" or sent.get("given_until")}
    return f"/dead-letters?{urlencode(typed)}" if typed else "/dead-letters"
