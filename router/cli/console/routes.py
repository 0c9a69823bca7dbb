"""Which page answers which path."""

import mimetypes

from aiohttp import web

from router.cli.console.console import Console
from router.cli.console.pages import (
    audit,
    dead_letter_changes,
    dead_letters,
    events,
    jobs,
    login,
    overview,
    quarantine,
    quarantine_changes,
    subscriptions,
)
from router.cli.console.rendering import asset
from router.cli.console.site import Page, guarded, open_to_all

__all__ = ["mount"]

_ASSETS = ("console.css", "console.js", "icon.svg")

_GET = {
    "/": overview.show,
    "/fragment/overview": overview.fragment,
    "/dead-letters": dead_letters.list_,
    "/dead-letter": dead_letters.show,
    "/job": jobs.show,
    "/quarantine": quarantine.list_,
    "/quarantined": quarantine.show,
    "/events": events.list_,
    "/event": events.show,
    "/subscriptions": subscriptions.list_,
    "/audit": audit.list_,
}
_POST = {
    "/dead-letter": dead_letters.reveal,
    "/dead-letters/preview": dead_letter_changes.preview,
    "/dead-letters/change": dead_letter_changes.carry,
    "/job/stop": jobs.stop,
    "/quarantined": quarantine.reveal,
    "/quarantine/preview": quarantine_changes.preview,
    "/quarantine/change": quarantine_changes.carry,
    "/event": events.reveal,
    "/subscriptions/pause": subscriptions.pause,
    "/subscriptions/resume": subscriptions.resume,
    "/sign-out": login.sign_out,
}


def mount(console: Console, application: web.Application) -> None:
    """Add the console's pages to the application of an operations port."""
    router = application.router
    for path, answering in _GET.items():
        router.add_get(path, guarded(console, answering), allow_head=False)
    for path, answering in _POST.items():
        router.add_post(path, guarded(console, answering))
    router.add_get("/login", open_to_all(console, login.form), allow_head=False)
    router.add_post("/login", open_to_all(console, login.sign_in))
    router.add_post("/theme", open_to_all(console, login.choose_theme))
    router.add_get("/static/{name}", open_to_all(console, _static), allow_head=False)
    router.add_get("/{path:.*}", guarded(console, _unknown), allow_head=False)


async def _static(page: Page) -> web.StreamResponse:
    name = page.request.match_info["name"]
    if name not in _ASSETS:
        return page.problem("Not found", "There is no such file.", status=404)
    # The digest is in the URL: a file that changed has another one.
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return web.Response(body=asset(name)[0], content_type=mimetypes.guess_type(name)[0], headers=headers)


async def _unknown(page: Page) -> web.StreamResponse:
    return page.problem("Not found", "There is no such page.", status=404)
