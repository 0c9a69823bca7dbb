"""The incidents: what goes wrong now, what was said lately, and what nobody wants to hear of."""

from datetime import datetime
from typing import Any

from router.console.forms import Unclear, line_in
from router.console.page import Page, command, go
from router.http.response import Response
from router.store.reading import moment_at

LASTING = {"": "until unmuted", "86400": "1 day", "604800": "1 week", "2592000": "30 days"}
"""For how long incidents can be muted: seconds, and the words for them."""

_SHOWN = 50
_TEXT = 200  # characters


async def list_(page: Page) -> Response:
    """List them, and under them the notices that were said last."""
    operations = page.console.operations
    return page.answer(
        "incidents.html",
        incidents=await operations.incidents(),
        notices=await operations.notices(_SHOWN),
        muted=await operations.muted(),
        at=_moment,
        lasting=LASTING,
    )


async def mute(page: Page) -> Response:
    """Say no more of a kind of incident about a subject, for a while or until it is unmuted."""
    sent: dict[str, Any] = dict(page.request.form.items())
    lasting, reason = str(sent.get("lasting", "")), line_in(sent, "reason", _TEXT)
    if lasting not in LASTING:
        raise Unclear(f"{lasting!r} is none of the times that can be chosen: {', '.join(LASTING.values())}.")
    try:
        seconds = float(lasting) if lasting else None
        await page.console.operations.mute(*_named(sent), seconds, actor=page.session.actor, reason=reason)
    except ValueError as error:
        raise Unclear(str(error)) from None
    return go("/incidents")


async def unmute(page: Page) -> Response:
    """Say again a kind of incident about a subject."""
    kind, subject = _named(dict(page.request.form.items()))
    if (kind, subject) not in {(one.kind, one.subject) for one in await page.console.operations.muted()}:
        text = f"{kind} of {subject} is not muted any more."
        do = "Somebody has unmuted it, or its time was over: nothing is left to do. The audit has who it was."
        shown = command("audit", "--verb", "incidents *")
        return page.problem("Not muted", text, status=400, do=do, command=shown)
    await page.console.operations.unmute(kind, subject, actor=page.session.actor)
    return go("/incidents")


def _named(sent: dict[str, Any]) -> tuple[str, str]:
    kind, subject = str(sent.get("kind", "")), str(sent.get("subject", ""))
    if not kind or not subject:
        raise Unclear("No incident is chosen: press the button beside one.")
    return kind, subject


def _moment(millis: int) -> datetime:
    return moment_at(millis)
