"""Cuts a verified body into its items; says for each its stream, the id that makes it unique, and what it means.

This is all that ingress does with an item before it is stored, so it is fast and never raises: an item that is no event
is handed on as unreadable, with a reason, for the quarantine.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from config.publishers import UNLISTED
from router.events.catalogue import Catalogue
from router.events.fields import Plan, UnreadableEvent, id_text, read_object
from router.events.normalise import derive

NOTIFICATION_HEADER: Final = "x-vwd-notification-id"

MAX_ID: Final = 128  # characters
MAX_ITEMS: Final = 20_000  # of one body; more only where they are as large as the smallest notification could be
_SMALLEST: Final = 32  # bytes: a body of half a million numbers would keep everybody else waiting for many seconds
_BOM: Final = b"\xef\xbb\xbf"
_WHITESPACE: Final = b" \t\r\n"  # what JSON calls so

_cut = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Identified(msgspec.Struct, frozen=True, gc=False, eq=False):
    """An item that is an event: its stream (`publisher/type`), its id, and its own bytes, which make it what it is.

    `normalised` is what `derive` made of it; None where that failed.
    """

    stream: str
    id: str
    raw: bytes
    normalised: dict[str, Any] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identified) and self._whole == other._whole

    def __hash__(self) -> int:
        return hash(self._whole)

    @property
    def _whole(self) -> tuple[str, str, bytes]:
        return self.stream, self.id, self.raw


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
        item = catalogue.item(publisher, read_object(raw), len(raw))
    except UnreadableEvent as error:
        return Unreadable(str(error), raw)
    type_ = item.event.type if item.event else UNLISTED
    id_ = _id(item.members, item.plan, raw, header_id)
    try:
        normalised = derive(item, id_, publisher, type_)
    except Exception:  # noqa: BLE001 - our fault is no reason to lose the event: the worker that reads it meets it again
        normalised = None
    return Identified(f"{publisher}/{type_}", id_, raw, normalised)


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
