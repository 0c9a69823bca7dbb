"""Error responses as `application/problem+json` (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

__all__ = ["problem"]


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, close: bool = False) -> web.Response:
    """Return a response that says in `detail` what was wrong; `close` ends the connection after it."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    response = web.Response(
        status=status, body=json.dumps(body).encode(), content_type="application/problem+json", headers=headers
    )
    if close:
        response.force_close()
    return response
