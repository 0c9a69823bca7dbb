"""What the fake ERP answers to a request that was let in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web

from workers.erp.fake.books import Books, stamp
from workers.erp.fake.fake_erp import FakeErp

__all__ = ["Reply", "answer"]

_BACKGROUND = re.compile(r"v[0-9]+/background/([^/]+)(/content)?")
_IN_BACKGROUND = "erp-api-background"
_FEEDBACK = "v1/webhooknotificationfeedback"
_COLLECTION = re.compile(r"v[0-9]+/[^/]+")
_KEYS = ("number", "id", "notificationId")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, and what is written as JSON."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(erp: FakeErp, tenant: str, request: web.Request, path: str, body: Any) -> Reply:
    """Answer a request of a tenant, at once or in the background."""
    if found := _BACKGROUND.fullmatch(path):
        return _background(erp, tenant, found[1], content=bool(found[2]))
    if path == _FEEDBACK and request.method == "POST":
        erp.feedback.append((tenant, body))
        return Reply(HTTPStatus.CREATED)
    if erp.in_background or _IN_BACKGROUND in request.headers:
        operation = erp.background.start(tenant)
        state = operation.state(erp.base_url)
        return Reply(HTTPStatus.ACCEPTED, {"id": operation.id, "stateLocation": state["stateLocation"]})
    if request.method == "GET":
        return _get(erp, erp.books(tenant), path, request.query)
    return _change(erp.books(tenant), request, path, body)


def _get(erp: FakeErp, books: Books, path: str, query: Mapping[str, str]) -> Reply:
    if _COLLECTION.fullmatch(path):
        return _sweep(books, query, path, erp.options.page_size)
    entry = books.invent(path) if erp.options.invent else books.get(path)
    return Reply(HTTPStatus.OK, entry.body, {"ETag": entry.etag}) if entry else Reply(HTTPStatus.NOT_FOUND)


def _change(books: Books, request: web.Request, path: str, body: Any) -> Reply:
    if request.method == "PUT":
        return _put(books, path, body, request.headers.get("If-Match"))
    return _post(books, path, body) if request.method == "POST" else Reply(HTTPStatus.METHOD_NOT_ALLOWED)


def _put(books: Books, path: str, body: Any, if_match: str | None) -> Reply:
    entry = books.get(path)
    if entry is None:
        return Reply(HTTPStatus.NOT_FOUND)
    if if_match not in (None, "*", entry.etag):
        return Reply(HTTPStatus.PRECONDITION_FAILED)
    changed = {**entry.body, **body} if isinstance(body, dict) and isinstance(entry.body, dict) else body
    return Reply(HTTPStatus.NO_CONTENT, None, {"ETag": books.put(path, changed).etag})


def _post(books: Books, path: str, body: Any) -> Reply:
    number = next((body[key] for key in _KEYS if body.get(key)), None) if isinstance(body, dict) else None
    if not _COLLECTION.fullmatch(path) or number is None:
        return Reply(HTTPStatus.BAD_REQUEST, {"message": f"name one of {', '.join(_KEYS)}"})
    place = f"{path}/{number}"
    if books.get(place):
        return Reply(HTTPStatus.CONFLICT, {"message": f"{number} is there already"})
    return Reply(HTTPStatus.CREATED, None, {"ETag": books.put(place, body).etag, "Location": f"/{place}"})


def _sweep(books: Books, query: Mapping[str, str], path: str, most: int) -> Reply:
    try:
        since = _moment(query.get("lastModifiedDateTime") or query.get("modifiedSince"))
        number = int(query.get("pageNumber", 1)) if "pageIndex" not in query else int(query["pageIndex"]) + 1
        size = min(int(query.get("pageSize", most)), most)
    except ValueError as error:
        return Reply(HTTPStatus.BAD_REQUEST, {"message": str(error)})
    if number < 1 or size < 1:
        return Reply(HTTPStatus.BAD_REQUEST, {"message": "pages begin with 1 and have 1 record at least"})
    after = query.get("lastModifiedDateTimeCondition", ">=") == ">"
    page = books.sweep(path, since, after=after, number=number, size=size)
    metadata = {"totalCount": page.total, "maxPageSize": most}
    items = [
        {
            **(entry.body if isinstance(entry.body, dict) else {"value": entry.body}),
            "lastModifiedDateTime": stamp(entry.modified),
            "timeStamp": entry.etag,
            "metadata": metadata,
        }
        for entry in page.entries.values()
    ]
    return Reply(HTTPStatus.OK, items)


def _moment(text: str | None) -> float | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _background(erp: FakeErp, tenant: str, id_: str, *, content: bool) -> Reply:
    operation = erp.background.find(id_, tenant)
    if operation is None or (content and operation.content is None):
        return Reply(HTTPStatus.NOT_FOUND)
    return Reply(HTTPStatus.OK, operation.content if content else operation.state(erp.base_url))
