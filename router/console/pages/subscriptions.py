"""The subscriptions: how far each is, who works for it, and whether it is held."""

from functools import partial
from urllib.parse import quote

from router.console.forms import Unclear, line_in
from router.console.page import Page, command, go
from router.events.globs import short
from router.http.response import Response

LASTING = {"": "until resumed", "900": "15 minutes", "3600": "1 hour", "14400": "4 hours", "86400": "1 day"}
"""For how long a subscription can be paused: seconds, and the words for them."""

_REASON = 200  # characters
_COMPANY = 200  # likewise


async def list_(page: Page) -> Response:
    """List the subscriptions with each of their streams."""
    catalogue, found = page.console.catalogue, (await page.console.watch.look()).figures
    return page.answer(
        "subscriptions.html",
        subscriptions=found.rows,
        waiting=found.oldest,
        lasting=LASTING,
        type_of=partial(short, catalogue),
    )


async def pause(page: Page) -> Response:
    """Keep the workers of a subscription from taking events, or only those of one company."""
    sent = {name: str(value) for name, value in page.request.form.items()}
    name, lasting = sent.get("name", ""), sent.get("lasting", "")
    if lasting not in LASTING:
        raise Unclear(f"{lasting!r} is none of the times that can be chosen: {', '.join(LASTING.values())}.")
    if not await _is_known(page, name):
        known = "`event-router subscriptions list` has those there are"
        raise Unclear(f"There is no subscription {name!r}: {known}.")
    reason = line_in(sent, "reason", _REASON)
    seconds = float(lasting) if lasting else None
    operations, who = page.console.operations, page.session.actor
    if company := line_in(sent, "company", _COMPANY):
        if not await operations.is_keyed(name):
            text = f"{name} has no key, so it does not tell company {company} from others"
            raise Unclear(f'{text}: pause it without a company, or give it key="company" in its code.')
        await operations.pause_company(name, company, seconds, actor=who, reason=reason)
    else:
        await operations.pause(name, seconds, actor=who, reason=reason)
    page.console.watch.forget()
    return go(f"/subscriptions#{quote(name)}")


async def resume(page: Page) -> Response:
    """Let the workers of a subscription go on, or only with one company."""
    sent = {name: str(value) for name, value in page.request.form.items()}
    name = sent.get("name", "")
    if company := line_in(sent, "company", _COMPANY):
        if company not in (await page.console.operations.paused_companies([name])).get(name, {}):
            return _not_paused(page, f"Company {company} of {name}")
        await page.console.operations.resume_company(name, company, actor=page.session.actor)
        page.console.watch.forget()
        return go(f"/subscriptions#{quote(name)}")
    if await page.console.operations.paused(name) is None:
        return _not_paused(page, name or "No subscription")
    await page.console.operations.resume(name, actor=page.session.actor)
    page.console.watch.forget()
    return go(f"/subscriptions#{quote(name)}")


def _not_paused(page: Page, what: str) -> Response:
    do = "Somebody has resumed it, or its time was over: nothing is left to do. The audit has who it was."
    shown = command("audit", "--verb", "subscriptions *")
    return page.problem("Not paused", f"{what} is not paused any more.", status=400, do=do, command=shown)


async def _is_known(page: Page, name: str) -> bool:
    return any(row.name == name for row in (await page.console.watch.look()).figures.rows)
