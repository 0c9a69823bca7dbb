"""The answers where a page does not do what was asked: what happened, with which value, and what to do."""

import math
import re
import secrets
from http import HTTPStatus

from config.errors import RouterError, described
from router.console.access.sessions import Session
from router.console.forms import Unclear
from router.console.page import HEADERS, Page, command, go, made, too_fast
from router.console.turns import Crowded
from router.http.request import BadRequest
from router.http.response import Response
from router.store.errors import STORE_ERRORS
from router.telemetry import logs

_log = logs.get(__name__)

_LATELY = command("audit", "--since", "15m")
_UNCHANGED = "Nothing was changed."
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]{1,255}(:[0-9]{1,5})?")


def failed(page: Page, session: Session | None, error: Exception) -> Response:
    """Return the page for what was raised; `session` is who is signed in, None for a stranger."""
    if isinstance(error, Crowded):
        do = f"Load the page again in {error.retry_after:g} s; a filter by time or event makes searches quicker."
        return too_fast(page.problem("Busy", str(error), status=503, do=do), error.retry_after)
    if isinstance(error, BadRequest):
        do = f"Go back, load the page again, and repeat it with a browser of today. {_UNCHANGED}"
        return page.problem("Not readable", f"{_sentence(str(error))}.", status=400, do=do)
    if isinstance(error, STORE_ERRORS):
        return _away(page, session, error)
    if isinstance(error, RouterError):
        title = "That is not clear" if isinstance(error, Unclear) else "That cannot be done"
        do = f"Go back, correct it, and repeat it. {_UNCHANGED}"
        return page.problem(title, _sentence(str(error)), status=400, do=do)
    return _broken(page, error)


def too_many(page: Page, wait: float) -> Response:
    """Return the page for a stranger whose requests made no sense, and who has to wait."""
    text = f"Too many requests from {page.request.remote}, by nobody who is signed in, made no sense."
    do = f"Wait {math.ceil(wait)} s, then load the page again and sign in."
    return too_fast(page.problem("Too fast", text, status=429, do=do), wait)


def not_from_here(page: Page) -> Response:
    """Return the page for a form that another site has sent, or one that a proxy has renamed."""
    origin, host = page.request.header("Origin"), page.request.header("Host")
    if not _ORIGIN.fullmatch(origin):
        origin = "a page without an address"
    text = f"The form was sent from {origin}, and this console is at {host}. {_UNCHANGED}"
    do = (
        "Open the console at its own address, and repeat it there. Where a proxy is between, have it keep the header "
        "Host; where none is needed, use a tunnel, with the name of the console's machine:"
    )
    tunnel = f"ssh -L {_port(host)}:127.0.0.1:{_port(host)} NAME"
    return page.problem("Not from here", text, status=403, do=do, command=tunnel)


def too_old(page: Page) -> Response:
    """Return the page for a form of an earlier session."""
    text = f"The form is of an earlier session. {_UNCHANGED}"
    return page.problem("Too old", text, status=403, do="Go back, load the page again, and repeat what you did.")


def sign_in_first(page: Page) -> Response:
    """Lead to the form for signing in, which says that a session is over, and that what was sent since is not done."""
    request = page.request
    if request.path.startswith("/fragment/"):
        return Response(401, b"sign in", "text/plain; charset=utf-8")
    if request.method == "POST":
        return go("/login", then=page.back, over="sent")
    had_one = page.console.cookie(request) in request.cookies
    return go("/login", then=request.target, **({"over": "session"} if had_one else {}))


def unread(status: int, detail: str) -> Response:
    """Return the page for a form that could not be read, of which nobody knows who sent it."""
    title, do = "Not readable", f"Go back, and send it again. {_UNCHANGED}"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        title, do = (
            "Too large",
            f"Go back, tick fewer rows or take all that match a filter, and repeat it. {_UNCHANGED}",
        )
    shown = {"title": title, "text": f"{_sentence(detail)}.", "do": do, "command": "", "back": "/"}
    common = {"csrf": None, "path": "", "here": "/", "theme": "auto", "next_theme": "light"}
    return made(status, "problem.html", {**common, **shown}).having(HEADERS)


def _away(page: Page, session: Session | None, error: Exception) -> Response:
    reason = described(error)
    _log.warning("console_store_unavailable", path=page.request.path, reason=reason)
    shown = {"is_sent": page.request.method == "POST", "back": page.back, "reason": reason if session else ""}
    return page.answer("away.html", status=503, doctor=command("doctor"), audit=_LATELY, **shown)


def _broken(page: Page, error: Exception) -> Response:
    request, fault = page.request, secrets.token_hex(4)
    _log.error("console_page_failed", path=request.path, fault=fault, exc_info=error)
    text = f"The console failed at {request.path}. Its log says why, at console_page_failed with fault={fault}."
    if request.method == "POST":
        do = "It may have been done or not: see what the audit has before you repeat it, and report what the log says."
        return page.problem("That went wrong", text, status=500, do=do, command=_LATELY)
    do = "Load the page again. If that fails too, see whether the system is well, and report what the log says."
    return page.problem("That went wrong", text, status=500, do=do, command=command("doctor"))


def _sentence(text: str) -> str:
    """Return a text with a capital at its beginning, all else as it is: values are in it."""
    return text[:1].upper() + text[1:]


def _port(host: str) -> str:
    port = host.rpartition(":")[2]
    return port if port.isascii() and port.isdigit() else "9092"
