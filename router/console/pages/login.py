"""Signing in with the token or a link that is good once, signing out, and the choice of colours."""

import hmac
import math

from router.console.access.sessions import SESSION_AGE
from router.console.access.token import LINK_AGE
from router.console.page import Page, command, go, local, too_fast
from router.http.request import Request
from router.http.response import Response
from router.telemetry import logs

_log = logs.get(__name__)

_YEAR = 365 * 24 * 3600
_OVER = {
    "session": (
        f"Your session is over: one lasts {SESSION_AGE // 3600} hours, or until the console is started again. "
        "Sign in to go on where you were."
    ),
    "sent": (
        "You are not signed in any more, so what you sent was not done. "
        "Sign in, and repeat it on the page that follows."
    ),
}
"""What the form says of a session that has ended, by what was asked for without one."""
_NAME = 40  # characters of what somebody calls themselves


async def form(page: Page) -> Response:
    """Show the form, or go on for somebody who is signed in."""
    query = page.request.query
    if page.console.session_of(page.request):
        return go(local(query.get("then", "")))
    over = _OVER.get(query.get("over", ""), "")
    return _form(page, code=query.get("code", ""), then=query.get("then", ""), over=over)


async def sign_in(page: Page) -> Response:
    """Begin a session for a client that knows the token, or brings a link that was not used yet."""
    console, request = page.console, page.request
    sent, address = request.form, request.remote
    then = sent.get("then", "")
    if wait := console.guesses.wait(address):
        problem = f"Too many wrong answers from {address}: wait {math.ceil(wait)} s, then send it again."
        return too_fast(_form(page, then=then, problem=problem, status=429), wait)
    code = sent.get("code", "")
    if not (await console.links.take(code) if code else _is_token(console.token, sent.get("token", ""))):
        console.guesses.wrong(address)
        _log.warning("console_sign_in_refused", address=address, by="link" if code else "token")
        return _form(page, then=then, problem=_why(code), status=403)
    console.guesses.right(address)
    actor = f"{_name(sent.get('name', ''))}@{address}"
    id_, _ = console.sessions.begin(actor)
    _log.info("console_signed_in", actor=actor)
    return _keeping(request, go(local(then)), console.cookie(request), id_, SESSION_AGE, secret=True)


async def sign_out(page: Page) -> Response:
    """End the session."""
    cookie = page.console.cookie(page.request)
    page.console.sessions.end(page.request.cookies.get(cookie, ""))
    return _keeping(page.request, go("/login"), cookie, "", 0, secret=True)


async def choose_theme(page: Page) -> Response:
    """Keep the colours that were chosen in the browser."""
    sent = page.request.form
    theme = sent.get("theme", "")
    kept = theme if theme in {"light", "dark"} else "auto"
    return _keeping(page.request, go(local(sent.get("here", ""))), "theme", kept, _YEAR)


def _form(
    page: Page, *, code: str = "", then: str = "", problem: str = "", over: str = "", status: int = 200
) -> Response:
    is_kept = page.console.operations.settings.ops.token is None
    shown = {"code": code, "then": then, "problem": problem, "over": over, "link": command("console", "--link")}
    return page.answer("login.html", status=status, is_kept=is_kept, **shown)


def _is_token(token: str, given: str) -> bool:
    return hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())


def _why(code: str) -> str:
    if code:
        why = f"This link was used, or is older than {LINK_AGE // 60} minutes, or of another console."
        return f"{why} Make a new one, or give the token."
    return "That is not the token. See below where it is, or make a link that needs none."


def _name(text: str) -> str:
    return "".join(c for c in text.strip() if c.isprintable() and c != "@")[:_NAME] or "console"


def _keeping(
    request: Request, response: Response, name: str, value: str, age: int, *, secret: bool = False
) -> Response:
    """Return an answer that has the browser keep a value of ours for so many seconds."""
    flags = "; HttpOnly" if secret else ""
    if request.header("X-Forwarded-Proto") == "https":
        flags += "; Secure"
    return response.having({"Set-Cookie": f"{name}={value}; Max-Age={age}; Path=/; SameSite=Strict{flags}"})
