"""The one way into every page: who may see it, what may be sent to it, and what each answer carries."""

import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from config.errors import RouterError
from router import logs
from router.cli.console.console import Console
from router.cli.console.rendering import rendered
from router.cli.console.sessions import Session
from router.store import STORE_ERRORS, StoreUnavailable

__all__ = ["Handler", "Page", "go", "guarded", "open_to_all"]

_log = logs.get(__name__)

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" browsers send `Origin: null` with our own forms, too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FORM = "application/x-www-form-urlencoded"
_THEMES = ("auto", "light", "dark")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """A request with what a page needs to answer it."""

    def __init__(self, console: Console, request: web.Request, session: Session | None) -> None:
        self.console = console
        self.request = request
        self._session = session

    @property
    def session(self) -> Session:
        """Who is signed in; only pages that are open to all have nobody."""
        assert self._session is not None
        return self._session

    @property
    def theme(self) -> str:
        """The colours that the browser asks for: `auto`, `light` or `dark`."""
        theme = self.request.cookies.get("theme", "")
        return theme if theme in _THEMES else "auto"

    @property
    def next_theme(self) -> str:
        """The colours that the button for them leads to."""
        return _THEMES[(_THEMES.index(self.theme) + 1) % len(_THEMES)]

    def answer(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """Return a page."""
        common = {
            "csrf": self._session.csrf if self._session else None,
            "path": self.request.path,
            "here": self.request.path_qs,
            "theme": self.theme,
            "next_theme": self.next_theme,
        }
        return web.Response(text=rendered(template, {**common, **values}), content_type="text/html", status=status)

    def problem(self, title: str, text: str, *, status: int) -> web.Response:
        """Return a page that says what went wrong."""
        return self.answer("problem.html", status=status, title=title, text=text)


class _Answering(Protocol):
    async def __call__(self, page: Page) -> web.StreamResponse: ...


def go(path: str, **query: str) -> web.Response:
    """Send the browser to another page."""
    return web.Response(status=303, headers={"Location": f"{path}?{urlencode(query)}" if query else path})


def guarded(console: Console, answering: _Answering) -> Handler:
    """Return a handler that answers only whoever is signed in, and takes a form only from one of our pages."""
    return partial(_answer, console, answering, False)


def open_to_all(console: Console, answering: _Answering) -> Handler:
    """Return a handler that answers everybody; a form must still come from one of our pages."""
    return partial(_answer, console, answering, True)


async def _answer(console: Console, answering: _Answering, is_open: bool, request: web.Request) -> web.StreamResponse:  # noqa: FBT001
    session = console.session_of(request)
    page = Page(console, request, session)
    response = await _refused(page, session, is_open=is_open) or await _safely(page, answering)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _refused(page: Page, session: Session | None, *, is_open: bool) -> web.Response | None:
    request = page.request
    if request.method == "POST" and not _is_from_here(request):
        return page.problem("Not from here", "The form was sent by another site, or by a very old browser.", status=403)
    if not is_open and session is None:
        return _sign_in_first(request)
    if request.method == "POST" and not await _is_readable(request):
        return page.problem("Not readable", "This is no form as browsers send them.", status=400)
    if request.method == "POST" and not is_open and not await _is_of(page.session, request):
        return page.problem("Too old", "The form is of another session: load its page again and repeat.", status=403)
    return None


def _is_from_here(request: web.Request) -> bool:
    """Compare hosts alone: a proxy may have taken TLS off."""
    origin = request.headers.get("Origin", "")
    fetched = request.headers.get("Sec-Fetch-Site", "same-origin")
    return bool(origin) and urlsplit(origin).netloc == request.host and fetched == "same-origin"


async def _is_readable(request: web.Request) -> bool:
    """Read a form as our pages make them; other ways to write one are for strangers to make us work, or fail."""
    if request.content_type != _FORM or (request.charset or "utf-8").lower() != "utf-8":
        return False
    try:
        await request.post()
    except UnicodeDecodeError:
        return False
    return True


async def _is_of(session: Session, request: web.Request) -> bool:
    carried = str((await request.post()).get("csrf", ""))
    return hmac.compare_digest(carried.encode(), session.csrf.encode())


def _sign_in_first(request: web.Request) -> web.Response:
    if request.path.startswith("/fragment/"):
        return web.Response(status=401, text="sign in")
    return go("/login", then=request.path_qs) if request.method == "GET" else go("/login")


async def _safely(page: Page, answering: _Answering) -> web.StreamResponse:
    try:
        return await answering(page)
    except (StoreUnavailable, *STORE_ERRORS) as error:
        _log.warning("console_store_unavailable", path=page.request.path, reason=str(error))
        return page.answer("away.html", status=503)
    except RouterError as error:
        return page.problem("That cannot be done", str(error), status=400)
    except web.HTTPException:
        raise
    except Exception:  # noqa: BLE001 - whatever it is, the process lives on and the page says so
        _log.exception("console_page_failed", path=page.request.path)
        return page.problem("That went wrong", "The log of the console says more.", status=500)
