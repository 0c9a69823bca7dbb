"""Cuts a verified body into its items and names for each the stream it belongs to and the id that makes it unique.

This is all that ingress does with an item before it is stored, so it is fast and never raises: an item that is no event
is handed on as unreadable, with a reason, for the quarantine.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from router.events.catalogue import UNLISTED, Catalogue
from router.events.fields import Plan, UnreadableEvent, id_text, read_object

__all__ = ["NOTIFICATION_HEADER", "Identified", "Unreadable", "identify"]

NOTIFICATION_HEADER: Final = "x-vwd-notification-id"

MAX_ID: Final = 128  # characters
MAX_ITEMS: Final = 20_000  # of one body; more only where they are as large as the smallest notification could be
_SMALLEST: Final = 32  # bytes: a body of half a million numbers would keep everybody else waiting for many seconds
_BOM: Final = b"\xef\xbb\xbf"
_WHITESPACE: Final = b" \t\r\n"  # what JSON calls so

_cut = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Identified(msgspec.Struct, frozen=True, gc=False):
    """An item that is an event: its stream (`publisher/type`), its id, and its own bytes."""

    stream: str
    id: str
    raw: bytes


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """An item that is no event, or a whole body that could not be cut into items; the reason holds nothing of it."""

    reason: str
    raw: bytes


def identify(catalogue: Catalogue, publisher: str, body: bytes, header_id: str | None) -> list[Identified | Unreadable]:
    """Cut a body, an object or an array of objects, into its items, in their order; `[]` has none.

    `header_id` (of `x-vwd-notification-id`) is the id of a single item that has none of its own. Never raises.
    """
    text = body.removeprefix(_BOM).strip(_WHITESPACE)
    if not text.startswith(b"["):
        return [_judge(catalogue, publisher, text, header_id)] if text else [Unreadable("empty body", body)]
    try:
        items = _cut(text)
    except (ValueError, RecursionError):  # as in read_object
        return [Unreadable("not valid JSON", body)]
    if len(items) > max(MAX_ITEMS, len(text) // _SMALLEST):
        return [Unreadable("too many items", body)]
    only_id = header_id if len(items) == 1 else None
    return [_judge(catalogue, publisher, bytes(item), only_id) for item in items]


def _judge(catalogue: Catalogue, publisher: str, raw: bytes, header_id: str | None) -> Identified | Unreadable:
    try:
        item = read_object(raw)
        plan = catalogue.layout(publisher).plan(item, len(raw))
        _, event = catalogue.recognise(publisher, item, plan)
    except UnreadableEvent as error:
        return Unreadable(str(error), raw)
    return Identified(f"{publisher}/{event.type if event else UNLISTED}", _id(item, plan, raw, header_id), raw)


def _id(item: Mapping[str, Any], plan: Plan, raw: bytes, header_id: str | None) -> str:
    for key in plan.notification_id:
        text = id_text(item[key])
        if text and (found := _clean(text)):
            return found
    return (header_id and _clean(header_id)) or _digest(raw)


def _clean(text: str) -> str:
    """Strip and fold the case of an id; one that is long or odd enough to trouble a key or a log becomes its digest."""
    text = text.strip().lower()
    if len(text) <= MAX_ID and text.isprintable() and " " not in text:  # the only space that counts as printable
        return text
    return _digest(text.encode("utf-8", "surrogatepass"))


def _digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"
