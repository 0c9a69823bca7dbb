"""Derives the event from an item's own bytes and the hints beside them; a pure function, so only those need storing.

It is total over what `identify` accepts. A value that its field cannot hold, an object where an id was expected, does
not make an event unreadable: it stays in `extra`, by the name it was sent with, and the field is None.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from msgspec.structs import replace

from config.publisher_types import fold
from config.publishers import EventType
from router.events.catalogue import Catalogue, Item
from router.events.event import Event
from router.events.fields import Layout, Plan, id_text, read_object
from router.events.resource import Resource, is_safe, key_of
from router.events.ticks import read_time

T = TypeVar("T")

_NOTHING: Final[dict[str, Any]] = dict.fromkeys(Event.model_fields)
_LINKS: Final = frozenset({"relative_path", "resource_uri"})
_PLAIN_ACTIONS: Final = frozenset({"created", "updated", "deleted", "changed"})
_WORD: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def normalise(
    catalogue: Catalogue,
    stream: str,
    id: str,  # noqa: A002
    raw: bytes,
    received_at: datetime,
    hints: Mapping[str, str] | None = None,
) -> Event:
    """Derive the event that `identify` found in `raw` and put into `stream` with this id.

    `received_at` is aware and in UTC; the event owns the `hints`. Raises UnreadableEvent, with the reason, for bytes
    that are no event.
    """
    publisher, _, type_ = stream.partition("/")
    item = catalogue.item(publisher, read_object(raw), len(raw))
    item = replace(item, event=catalogue.event_type(publisher, type_))
    said = derive(item, id, publisher, type_)
    beside = {"received_at": received_at, "hints": {} if hints is None else hints, "raw": raw}
    return Event.trusted({**_NOTHING, "extra": {}, **said, **beside})


def derive(found: Item, id: str, publisher: str, type: str) -> dict[str, Any]:  # noqa: A002
    """Return what an item says: the fields of the event that are not None, and `extra` where it is not empty.

    Those beside the item are left out: `received_at`, `hints` and `raw`. The item's members are used up.
    """
    layout, item, plan, name, row = found.layout, found.members, found.plan, found.name, found.event
    for sent, nothing in plan.absent:
        if _text(item[sent]) in nothing:
            item[sent] = None
    values: dict[str, Any] = {"id": id, "publisher": publisher, "type": type, "wire_event": name}
    extra = _texts(item, plan, values)
    said = _take(item, plan.entity, extra, _word) if plan.entity else None
    if entity := said or (row.entity if row else None):
        values["entity"] = entity
    if action := _action(values.pop("action", None), name, row, layout.actions):
        values["action"] = action
    kind = entity if said or not layout.names_entities else None  # else records of two kinds would have one name
    _name_record(layout, item, plan, values, extra, kind)
    _date(item, plan, values, extra)
    scheduled = _take(item, plan.scheduled, extra, _flag)
    if scheduled is not None:
        values["scheduled"] = scheduled
    ids = plan.notification_id
    if len(ids) > 1 or (ids and not isinstance(item[ids[0]], str)):  # else nothing of it is extra
        _take(item, ids, extra, id_text)
    if len(plan.event) > 1:
        extra |= {key: item[key] for key in plan.event if item[key] not in (None, "", name)}
    if extra:
        values["extra"] = extra
    return values


def _name_record(
    layout: Layout, item: Mapping[str, Any], plan: Plan, values: dict[str, Any], extra: dict[str, Any], kind: str | None
) -> None:
    """Set what says which record it is; `kind` names it where only its number is known."""
    resource = _resource(layout, item, plan, values, extra)
    key = _take(item, plan.record_key, {}, key_of) if plan.record_key else None
    number = values.get("resource_id") or (resource and resource.id) or key
    resource_id = number or _take(item, plan.entity_id, {}, _text)
    if resource_id:
        values["resource_id"] = resource_id
    if resource:
        values["resource"], values["resource_path"] = resource.name, resource.path
    elif name := _name(kind, resource_id):
        values["resource"] = name


def _date(item: Mapping[str, Any], plan: Plan, values: dict[str, Any], extra: dict[str, Any]) -> None:
    """Set when it happened, as far as the item says that."""
    times = plan.timestamp
    if plan.deleted_at:
        times = plan.deleted_at + times if values.get("action") == "deleted" else times + plan.deleted_at
    if time := _take(item, times, extra, read_time):
        values["occurred_at"], ticks = time
        if ticks is not None:
            values["ticks"] = ticks


def _resource(
    layout: Layout, item: Mapping[str, Any], plan: Plan, values: dict[str, Any], extra: dict[str, Any]
) -> Resource | None:
    """Read the record that an item is about, and make its number and company that of the event.

    A path that is refused is not replaced by another the same sender offers: both stay in `extra`.
    """
    links = (values.pop("relative_path", None), values.pop("resource_uri", None))
    number = values.get("resource_id")
    if number and number[-1] == ")":
        values["resource_id"] = number = layout.records.decoded_id(number)
    link = links[0] or links[1]
    if link is None:
        return None
    resource = layout.records.read(link, number)
    if resource is None:
        extra |= {key: item[key] for field, key in plan.texts if field in _LINKS and item[key] not in (None, "")}
        return None
    if number and number != resource.id and unquote(number) == resource.id:
        values["resource_id"] = resource.id
    if "company_id" not in values:
        other = layout.records.read(links[1], number) if links[0] and links[1] else None
        if company := resource.company or (other and other.company):
            values["company_id"] = company
    return resource


def _texts(item: Mapping[str, Any], plan: Plan, values: dict[str, Any]) -> dict[str, Any]:
    """Set the fields of plain text, read as `_take` reads one; return what goes to `extra`.

    A loop of its own, for they are most of an item.
    """
    extra = {key: item[key] for key in plan.kept} if plan.kept else {}
    for field, key in plan.texts:
        value = item[key]
        if type(value) is str and value and not value.isspace() and field not in values:
            values[field] = value
        elif value is not None and value != "":
            text = _text(value)
            if text is None or field in values:
                extra[key] = value
            else:
                values[field] = text
    return extra


def _take(
    item: Mapping[str, Any], keys: tuple[str, ...], extra: dict[str, Any], read: Callable[[Any], T | None]
) -> T | None:
    """Return the first of these keys' values that can be read; the others go to `extra`, except null and empty."""
    taken = None
    for key in keys:
        value = item[key]
        if value is None or value == "":
            continue
        found = read(value) if taken is None else None
        if found is None:
            extra[key] = value
        else:
            taken = found
    return taken


def _text(value: Any) -> str | None:
    if type(value) is str:
        return None if value.isspace() else value
    if type(value) is bool:
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _flag(value: Any) -> bool | None:
    if type(value) is bool:
        return value
    text = _text(value)
    return _BOOLEANS.get(text.lower()) if text else None


def _word(value: Any) -> str | None:
    """Return the name of a kind of thing, in lower case; None for what could not stand in the name of a record."""
    return value.lower() if type(value) is str and _WORD.fullmatch(value) else None


def _action(sent: str | None, name: str, row: EventType | None, words: Mapping[str, str]) -> str | None:
    if words and (word := words.get(fold(sent or name))):
        return word
    if sent is None:
        return row.action if row else None
    lower = sent.lower()
    if lower in _PLAIN_ACTIONS:
        return lower
    folded = fold(sent)
    return folded if folded in _PLAIN_ACTIONS else sent


def _name(entity: str | None, resource_id: str | None) -> str | None:
    """Return the name of a record that only its number is known of."""
    return f"{entity}/{resource_id}" if entity and resource_id and is_safe(resource_id) else None
