"""Error responses as `application/problem+json` (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from router.http.response import Response

__all__ = ["problem"]


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, close: bool = False) -> Response:
    """Return a response that says in `detail` what was wrong; `close` ends the connection after it."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(status, json.dumps(body).encode(), "application/problem+json", headers, close)
