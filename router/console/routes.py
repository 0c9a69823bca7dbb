"""Which page answers which path."""

import mimetypes
from collections.abc import Mapping
from functools import partial

from router.console.console import Console
from router.console.failures import unread
from router.console.page import Page, PageAnswering
from router.console.pages import (
    audit,
    changes,
    dead_letters,
    events,
    forwards,
    incidents,
    keys,
    limits,
    login,
    overview,
    quarantine,
    reconcile,
    schema,
    subscriptions,
)
from router.console.rendering import asset
from router.console.site import guarded
from router.http.response import Response
from router.http.site import Route, Site

_ASSETS = ("console.css", "console.js", "icon.svg")

_GET: Mapping[str, PageAnswering] = {
    "/": overview.show,
    "/fragment/overview": overview.fragment,
    "/dead-letters": dead_letters.list_,
    "/dead-letter": dead_letters.show,
    "/job": changes.show_job,
    "/quarantine": quarantine.list_,
    "/quarantined": quarantine.show,
    "/events": events.list_,
    "/event": events.show,
    "/subscriptions": subscriptions.list_,
    "/keys": keys.list_,
    "/forwards": forwards.list_,
    "/incidents": incidents.list_,
    "/limits": limits.list_,
    "/reconcile": reconcile.list_,
    "/schema": schema.list_,
    "/audit": audit.list_,
}
_POST: Mapping[str, PageAnswering] = {
    "/dead-letter": dead_letters.show,
    "/dead-letters/preview": changes.preview_letters,
    "/dead-letters/change": changes.change_letters,
    "/job/stop": changes.stop_job,
    "/quarantined": quarantine.show,
    "/quarantine/preview": changes.preview_quarantined,
    "/quarantine/change": changes.change_quarantined,
    "/event": events.show,
    "/keys/preview": changes.preview_keys,
    "/keys/change": changes.change_keys,
    "/subscriptions/pause": subscriptions.pause,
    "/subscriptions/resume": subscriptions.resume,
    "/incidents/mute": incidents.mute,
    "/incidents/unmute": incidents.unmute,
    "/sign-out": login.sign_out,
}
_SEARCHES = (
    dead_letters.list_,
    changes.preview_letters,
    quarantine.list_,
    changes.preview_quarantined,
    events.list_,
    events.show,
    keys.list_,
    changes.preview_keys,
    audit.list_,
)
"""What may go through much of the store."""
_LOOKS = (changes.preview_letters, changes.preview_quarantined, changes.preview_keys)
"""What is posted and yet only looked at."""


def mount(console: Console, site: Site) -> None:
    """Add the console's pages to an operations port."""
    for path, answering in _GET.items():
        site.add("GET", path, guarded(console, _paced(answering)), reads=True, is_page=True)
    for path, answering in _POST.items():
        site.add("POST", path, guarded(console, _paced(answering)), reads=answering in _LOOKS, is_page=True)
    site.add("GET", "/login", guarded(console, login.form, is_open=True), reads=True, is_page=True)
    site.add("POST", "/login", guarded(console, login.sign_in, is_open=True), is_page=True)
    site.add("POST", "/theme", guarded(console, login.choose_theme, is_open=True), is_page=True)
    for name in _ASSETS:
        site.add("GET", f"/static/{name}", guarded(console, partial(_static, name), is_open=True), is_page=True)
    site.otherwise = Route(guarded(console, _unknown), is_page=True)
    site.shown = unread


def _paced(answering: PageAnswering) -> PageAnswering:
    """Have searches wait for their turn."""
    if answering not in _SEARCHES:
        return answering

    async def in_turn(page: Page) -> Response:
        async with page.console.turns.one():
            return await answering(page)

    return in_turn


async def _static(name: str, page: Page) -> Response:
    del page
    # The digest is in the URL: a file that changed has another one.
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(200, asset(name)[0], mimetypes.guess_type(name)[0] or "text/plain", headers)


async def _unknown(page: Page) -> Response:
    """Say of a path that there is no such page, or that it does not take the method."""
    path = page.request.path
    if page.request.method == "POST" and (path in _GET or path.startswith("/static/")):
        text = f"{path} is a page to look at and takes no form. Nothing was changed."
        return _not_taken(page, text, "Go back, load the page again, and press its button.", "GET, HEAD")
    if path in _POST or path == "/theme":
        text = f"{path} takes only what a form sends; an address that is typed or loaded again sends nothing."
        return _not_taken(page, text, "Go back to the page with the form, and press its button.", "POST")
    text = f"There is no such page: {path}."
    do = "See that the address is whole and spelt as it was, or choose a page at the top."
    return page.problem("Not found", text, status=404, do=do)


def _not_taken(page: Page, text: str, do: str, allowed: str) -> Response:
    parent = f"/{page.request.path.split('/')[1]}"
    back = parent if parent in _GET else ""
    return page.problem("Not that way", text, status=405, do=do, back=back).having({"Allow": allowed})
