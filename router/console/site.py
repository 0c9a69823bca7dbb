"""The one way into every page: who may see it, what may be sent to it, and what each answer carries."""

import hmac
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from config.errors import RouterError, described
from router.console.access.sessions import Session
from router.console.console import Console
from router.console.forms import Unclear
from router.console.rendering import rendered
from router.console.turns import Crowded
from router.http.request import BadRequest, Request
from router.http.response import Response
from router.http.site import Answering
from router.store.errors import STORE_ERRORS
from router.telemetry import logs
from workers.operations.reveal import revealed

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
_FETCHED, _SAME = "Sec-Fetch-Site", "same-origin"
_THEMES = ("auto", "light", "dark")

_HTML = "text/html; charset=utf-8"
_AS_THEY_ARE = "/?&=#:@!$'()*+,;~%-._[]"  # in the address that an answer leads to


class Page:
    """A request with what a page needs to answer it."""

    def __init__(self, console: Console, request: Request, session: Session | None) -> None:
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

    def answer(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        common = {
            "csrf": self._session.csrf if self._session else None,
            "path": self.request.path,
            "here": self.request.target,
            "theme": self.theme,
            "next_theme": self.next_theme,
        }
        return Response(status, rendered(template, {**common, **values}).encode(errors="replace"), _HTML)

    async def revealed(self, raw: bytes, subject: str) -> str | None:
        """Return the body of `subject` where a form asks for it, once the audit has who saw it; else None."""
        if self.request.method != "POST":
            return None
        return await revealed(self.console.operations.store, raw, subject=subject, actor=self.session.actor)

    def problem(self, title: str, text: str, *, status: int) -> Response:
        """Return a page that says what went wrong."""
        return self.answer("problem.html", status=status, title=title, text=text)


PageAnswering = Callable[[Page], Awaitable[Response]]
"""What answers a request with a page."""


def go(path: str, **query: str) -> Response:
    """Send the browser to another page."""
    where = quote(path, safe=_AS_THEY_ARE)
    return Response(303, b"", _HTML, {"Location": f"{where}?{urlencode(query)}" if query else where})


def guarded(console: Console, answering: PageAnswering, *, is_open: bool = False) -> Answering:
    """Return a handler that takes a form only from one of our pages, and answers only who is signed in, or everybody.

    is_open: everybody.
    """
    return partial(_answer, console, answering, is_open=is_open)


async def _answer(console: Console, answering: PageAnswering, request: Request, *, is_open: bool) -> Response:
    session = console.session_of(request)
    page = Page(console, request, session)
    response = await _safely(page, session, answering, is_open=is_open)
    if session is None and response.status in (400, 500):
        console.faults.wrong(request.remote)
    return response.having(_HEADERS)


def _refused(page: Page, session: Session | None, *, is_open: bool) -> Response | None:
    request = page.request
    if session is None and (wait := page.console.faults.wait(request.remote)):
        return too_fast(page.problem("Too fast", "Too many requests that make no sense: wait.", status=429), wait)
    if request.method == "POST" and not _is_from_here(request):
        return page.problem("Not from here", "The form was sent by another site, or by a very old browser.", status=403)
    if not is_open and session is None:
        return _sign_in_first(request)
    if request.method == "POST" and not is_open and not _is_of(page.session, request):
        return page.problem("Too old", "The form is of another session: load its page again and repeat.", status=403)
    return None


def too_fast(response: Response, wait: float) -> Response:
    """Return an answer that says for how many seconds to wait."""
    return response.having({"Retry-After": str(math.ceil(wait))})


def _is_from_here(request: Request) -> bool:
    """Compare hosts alone: a proxy may have taken TLS off."""
    _, slashes, host = request.header("Origin").partition("://")
    return bool(slashes and host) and host == request.header("Host") and request.header(_FETCHED, _SAME) == _SAME


def _is_of(session: Session, request: Request) -> bool:
    return hmac.compare_digest(request.form.get("csrf", "").encode(errors="replace"), session.csrf.encode())


def _sign_in_first(request: Request) -> Response:
    if request.path.startswith("/fragment/"):
        return Response(401, b"sign in", "text/plain; charset=utf-8")
    return go("/login", then=request.target) if request.method == "GET" else go("/login")


async def _safely(page: Page, session: Session | None, answering: PageAnswering, *, is_open: bool) -> Response:
    """Return an answer, whatever happens: nothing else in the console answers for what a request makes fail."""
    try:
        return _refused(page, session, is_open=is_open) or await answering(page)
    except Crowded as error:
        return too_fast(page.problem("Busy", str(error), status=503), error.retry_after)
    except BadRequest as error:
        return page.problem("Not readable", f"{str(error).capitalize()}.", status=400)
    except STORE_ERRORS as error:
        _log.warning("console_store_unavailable", path=page.request.path, reason=described(error))
        return page.answer("away.html", status=503)
    except RouterError as error:
        title = "That is not clear" if isinstance(error, Unclear) else "That cannot be done"
        return page.problem(title, str(error), status=400)
    except Exception:  # noqa: BLE001 - whatever it is, the process lives on and the page says so
        _log.exception("console_page_failed", path=page.request.path)
        return page.problem("That went wrong", "The log of the console says more.", status=500)
