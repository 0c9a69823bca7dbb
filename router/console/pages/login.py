"""Signing in with the token or a link that is good once, signing out, and the choice of colours."""

import hmac
import math

from router.console.access.sessions import SESSION_AGE
from router.console.site import Page, go, too_fast
from router.http.request import Request
from router.http.response import Response
from router.telemetry import logs

_log = logs.get(__name__)

_YEAR = 365 * 24 * 3600
_NAME = 40  # characters of what somebody calls themselves


async def form(page: Page) -> Response:
    """Show the form, or go on for somebody who is signed in."""
    query = page.request.query
    if page.console.session_of(page.request):
        return go(_local(query.get("then", "")))
    return _form(page, code=query.get("code", ""), then=query.get("then", ""))


async def sign_in(page: Page) -> Response:
    """Begin a session for a client that knows the token, or brings a link that was not used yet."""
    console, request = page.console, page.request
    sent, address = request.form, request.remote
    then = sent.get("then", "")
    if wait := console.guesses.wait(address):
        problem = f"Too many wrong answers: wait {math.ceil(wait)} s."
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
    return _keeping(request, go(_local(then)), console.cookie(request), id_, SESSION_AGE, secret=True)


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
    return _keeping(page.request, go(_local(sent.get("here", ""))), "theme", kept, _YEAR)


def _form(page: Page, *, code: str = "", then: str = "", problem: str = "", status: int = 200) -> Response:
    is_kept = page.console.operations.settings.ops.token is None
    return page.answer("login.html", status=status, code=code, then=then, problem=problem, is_kept=is_kept)


def _is_token(token: str, given: str) -> bool:
    return hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())


def _why(code: str) -> str:
    return "This link was used, or is too old: make a new one, or give the token." if code else "That is not the token."


def _name(text: str) -> str:
    return "".join(c for c in text.strip() if c.isprintable() and c != "@")[:_NAME] or "console"


def _local(path: str) -> str:
    """Return a path of this console, the first page for anything else: a link must lead nowhere else."""
    is_ours = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_ours else "/"


def _keeping(
    request: Request, response: Response, name: str, value: str, age: int, *, secret: bool = False
) -> Response:
    """Return an answer that has the browser keep a value of ours for so many seconds."""
    flags = "; HttpOnly" if secret else ""
    if request.header("X-Forwarded-Proto") == "https":
        flags += "; Secure"
    return response.having({"Set-Cookie": f"{name}={value}; Max-Age={age}; Path=/; SameSite=Strict{flags}"})
