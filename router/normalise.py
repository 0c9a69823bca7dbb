"""Derives the event from an item's own bytes; a pure function of those, so nothing but the bytes needs storing.

It is total over what `identify` accepts. A value that its field cannot hold, an object where an id was expected, does
not make an event unreadable: it stays in `extra`, by the name it was sent with, and the field is None.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from config.publishers import EventType, fold
from router.catalogue import Catalogue
from router.event import Event
from router.fields import Plan, UnreadableEvent, id_text, read_object
from router.resource import identity, is_safe, last_segment, path_of, relative
from router.ticks import read_time

__all__ = ["UnreadableEvent", "normalise"]

T = TypeVar("T")

_NOTHING: Final[dict[str, Any]] = dict.fromkeys(Event.model_fields)
_PLAIN_ACTIONS: Final = frozenset({"created", "updated", "deleted", "changed"})
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def normalise(catalogue: Catalogue, stream: str, id: str, raw: bytes, received_at: datetime) -> Event:  # noqa: A002
    """Derive the event that `identify` found in `raw` and put into `stream` with this id.

    `received_at` is aware and in UTC. Raises UnreadableEvent, with the reason, for bytes that are no event.
    """
    publisher, _, type_ = stream.partition("/")
    row = catalogue.event_type(publisher, type_)
    item = read_object(raw)
    plan = catalogue.layout(publisher).plan(item, len(raw))
    event, _ = catalogue.recognise(publisher, item, plan)
    values, extra = _texts(item, plan)
    path = _path(values.pop("relative_path", None), values.pop("resource_uri", None))
    resource = identity(path) if path else None
    entity = row.entity if row else None
    resource_id = values["resource_id"] or last_segment(resource) or _take(item, plan.entity_id, {}, _text)
    values["id"] = id
    values["publisher"] = publisher
    values["type"] = type_
    values["wire_event"] = item[event]
    values["entity"] = entity
    values["action"] = _action(values["action"], row)
    values["resource"] = resource or _resource(entity, resource_id)
    values["resource_path"] = path
    values["resource_id"] = resource_id
    values["occurred_at"], values["ticks"] = _take(item, plan.timestamp, extra, read_time) or (None, None)
    values["received_at"] = received_at
    values["scheduled"] = _take(item, plan.scheduled, extra, _flag)
    values["extra"] = extra
    values["raw"] = raw
    _take(item, plan.notification_id, extra, id_text)
    if len(plan.event) > 1:
        extra |= {key: item[key] for key in plan.event if key != event and item[key] not in (None, "")}
    return Event.trusted(values)


def _texts(item: Mapping[str, Any], plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the fields of plain text, as `_take` reads one; return a value for every field, and what goes to `extra`.

    A loop of its own, for they are most of an item.
    """
    values = _NOTHING.copy()
    extra = {key: item[key] for key in plan.kept}
    for field, key in plan.texts:
        value = item[key]
        if value is None or value == "":
            continue
        text = value if type(value) is str and not value.isspace() else _text(value)
        if text is None or values.get(field) is not None:
            extra[key] = value
        else:
            values[field] = text
    return values, extra


def _take(
    item: Mapping[str, Any], keys: tuple[str, ...], extra: dict[str, Any], read: Callable[[Any], T | None]
) -> T | None:
    """Return the first of these keys' values that can be read; the others go to `extra`, but for null and empty."""
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


def _action(sent: str | None, row: EventType | None) -> str | None:
    if sent is None:
        return row.action if row else None
    lower = sent.lower()
    if lower in _PLAIN_ACTIONS:
        return lower
    folded = fold(sent)
    return folded if folded in _PLAIN_ACTIONS else sent


def _path(relative_path: str | None, url: str | None) -> str | None:
    """Return the resource's path; one that is refused is not replaced by another the same sender offers."""
    if relative_path:
        return relative(relative_path)
    return path_of(url) if url else None


def _resource(entity: str | None, resource_id: str | None) -> str | None:
    made = f"{entity}/{resource_id}"
    return made if entity and resource_id and is_safe(made) else None
