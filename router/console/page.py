"""A request with what a page needs to answer it, and the kinds of answers that pages give."""

import math
import shlex
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlencode

from router.console.access.sessions import Session
from router.console.console import Console
from router.console.rendering import rendered
from router.http.request import Request
from router.http.response import Response
from workers.operations.reveal import revealed

HEADERS = {
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
"""What every answer of the console carries."""

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
            "here": self.back if self.request.method == "POST" else self.request.target,
            "theme": self.theme,
            "next_theme": self.next_theme,
        }
        return made(status, template, {**common, **values})

    async def revealed(self, raw: bytes, subject: str) -> str | None:
        """Return the body of `subject` where a form asks for it, once the audit has who saw it; else None."""
        if self.request.method != "POST":
            return None
        return await revealed(self.console.operations.store, raw, subject=subject, actor=self.session.actor)

    @property
    def back(self) -> str:
        """The page of this console that the browser comes from, the first page where it does not say."""
        host, _, path = self.request.header("Referer").partition("://")[2].partition("/")
        return local(f"/{path}") if host == self.request.header("Host") else "/"

    def problem(self, title: str, text: str, *, status: int, do: str, command: str = "", back: str = "") -> Response:
        """Return a page that says what went wrong, with which value, and what to do, with the command for it.

        back: where its link leads; to where the browser comes from unless it is given.
        """
        shown = {"title": title, "text": text, "do": do, "command": command, "back": back or self.back}
        return self.answer("problem.html", status=status, **shown)


PageAnswering = Callable[[Page], Awaitable[Response]]
"""What answers a request with a page."""


def made(status: int, template: str, values: dict[str, Any]) -> Response:
    """Return a page of a template."""
    return Response(status, rendered(template, values).encode(errors="replace"), _HTML)


def go(path: str, **query: str) -> Response:
    """Send the browser to another page."""
    where = quote(path, safe=_AS_THEY_ARE)
    return Response(303, b"", _HTML, {"Location": f"{where}?{urlencode(query)}" if query else where})


def too_fast(response: Response, wait: float) -> Response:
    """Return an answer that says for how many seconds to wait."""
    return response.having({"Retry-After": str(math.ceil(wait))})


def command(*words: str) -> str:
    """Return a command line of ours, as a shell takes it."""
    return shlex.join(["event-router", *words])


def local(path: str) -> str:
    """Return a path of this console, the first page for anything else: a link must lead nowhere else."""
    is_ours = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_ours else "/"
