"""The limit of an ingress on aiohttp: read the body, answer 202, and nothing else."""

import os

import uvloop
from aiohttp import web


async def accept(request: web.Request) -> web.Response:
    """Answer a webhook."""
    await request.read()
    return web.Response(status=202)


application = web.Application()
application.router.add_post("/webhooks/{publisher}", accept)
web.run_app(
    application,
    host="127.0.0.1",
    port=int(os.environ["PORT"]),
    access_log=None,
    print=None,
    loop=uvloop.new_event_loop(),
)
