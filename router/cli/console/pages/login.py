"""Signing in with the token or a link that is good once, signing out, and the choice of colours."""

import hmac
import math
from urllib.parse import urlsplit

from aiohttp import web

from router import logs
from router.cli.console.sessions import SESSION_AGE
from router.cli.console.site import Page, go

__all__ = ["choose_theme", "form", "sign_in", "sign_out"]

_log = logs.get(__name__)

_YEAR = 365 * 24 * 3600
_NAME = 40  # characters of what somebody calls themselves


async def form(page: Page) -> web.StreamResponse:
    """Show the form, or go on for somebody who is signed in."""
    query = page.request.query
    if page.console.session_of(page.request):
        return go(_local(query.get("then", "")))
    return _form(page, code=query.get("code", ""), then=query.get("then", ""))


async def sign_in(page: Page) -> web.StreamResponse:
    """Begin a session for whoever knows the token, or brings a link that was not used yet."""
    console, request = page.console, page.request
    sent = {name: str(value) for name, value in (await request.post()).items()}
    address, then = request.remote or "", sent.get("then", "")
    if wait := console.guesses.wait(address):
        response = _form(page, then=then, problem=f"Too many wrong answers: wait {math.ceil(wait)} s.", status=429)
        response.headers["Retry-After"] = str(math.ceil(wait))
        return response
    code = sent.get("code", "")
    if not (console.links.take(code) if code else _is_token(console.token, sent.get("token", ""))):
        console.guesses.wrong(address)
        _log.warning("console_sign_in_refused", address=address, by="link" if code else "token")
        return _form(page, then=then, problem=_why(code), status=403)
    console.guesses.right(address)
    actor = f"{_name(sent.get('name', ''))}@{address}"
    id_, _ = console.sessions.begin(actor)
    _log.info("console_signed_in", actor=actor)
    response = go(_local(then))
    _keep(request, response, console.cookie(request), id_, SESSION_AGE, secret=True)
    return response


async def sign_out(page: Page) -> web.StreamResponse:
    """End the session."""
    cookie = page.console.cookie(page.request)
    page.console.sessions.end(page.request.cookies.get(cookie, ""))
    response = go("/login")
    response.del_cookie(cookie)
    return response


async def choose_theme(page: Page) -> web.StreamResponse:
    """Keep the colours that were chosen in the browser."""
    sent = await page.request.post()
    response = go(_local(str(sent.get("here", ""))))
    theme = str(sent.get("theme", ""))
    _keep(page.request, response, "theme", theme if theme in {"light", "dark"} else "auto", _YEAR)
    return response


def _form(page: Page, *, code: str = "", then: str = "", problem: str = "", status: int = 200) -> web.Response:
    is_kept = page.console.settings.ops.token is None
    return page.answer("login.html", status=status, code=code, then=then, problem=problem, is_kept=is_kept)


def _is_token(token: str, given: str) -> bool:
    return hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())


def _why(code: str) -> str:
    return "This link was used, or is too old: make a new one, or give the token." if code else "That is not the token."


def _name(text: str) -> str:
    return "".join(c for c in text.strip() if c.isprintable() and c != "@")[:_NAME] or "console"


def _local(path: str) -> str:
    """Return a path of this console, the first page for anything else: a link must lead nowhere else."""
    parts = urlsplit(path) if path.startswith("/") and "\\" not in path and path.isprintable() else None
    return path if parts and not parts.netloc and not path.startswith("//") else "/"


def _keep(
    request: web.Request, response: web.Response, name: str, value: str, age: int, *, secret: bool = False
) -> None:
    is_secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    response.set_cookie(name, value, max_age=age, httponly=secret, samesite="Strict", secure=is_secure)
