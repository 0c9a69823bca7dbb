"""The one way into every page: who may see it, what may be sent to it, and what each answer carries."""

import hmac
from functools import partial

from router.console.access.sessions import Session
from router.console.console import Console
from router.console.failures import failed, not_from_here, sign_in_first, too_many, too_old
from router.console.page import HEADERS, Page, PageAnswering
from router.http.request import Request
from router.http.response import Response
from router.http.site import Answering

_FETCHED, _SAME = "Sec-Fetch-Site", "same-origin"


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
    return response.having(HEADERS)


def _refused(page: Page, session: Session | None, *, is_open: bool) -> Response | None:
    request = page.request
    if session is None and (wait := page.console.faults.wait(request.remote)):
        return too_many(page, wait)
    if request.method == "POST" and not _is_from_here(request):
        return not_from_here(page)
    if not is_open and session is None:
        return sign_in_first(page)
    if request.method == "POST" and not is_open and not _is_of(page.session, request):
        return too_old(page)
    return None


def _is_from_here(request: Request) -> bool:
    """Compare hosts alone: a proxy may have taken TLS off."""
    _, slashes, host = request.header("Origin").partition("://")
    return bool(slashes and host) and host == request.header("Host") and request.header(_FETCHED, _SAME) == _SAME


def _is_of(session: Session, request: Request) -> bool:
    return hmac.compare_digest(request.form.get("csrf", "").encode(errors="replace"), session.csrf.encode())


async def _safely(page: Page, session: Session | None, answering: PageAnswering, *, is_open: bool) -> Response:
    """Return an answer, whatever happens: nothing else in the console answers for what a request makes fail."""
    try:
        return _refused(page, session, is_open=is_open) or await answering(page)
    except Exception as error:  # noqa: BLE001 - whatever it is, the process lives on and the page says so
        return failed(page, session, error)
