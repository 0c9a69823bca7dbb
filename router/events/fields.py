"""Reads one item of a webhook body and finds its fields, whatever case and separators the sender gave their names.

Senders spell a name in a few ways and repeat the same set of names in every notification. So the names of an item, its
shape, are sorted into fields once, and the result is kept: a later item of that shape costs one look-up.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from config.errors import RouterError
from config.publisher_types import fold
from config.publishers import Dialect, Paths, Publisher
from router.events.resource import Records

MAX_DEPTH: Final = 64  # objects and lists within each other; far more would exhaust what writes them as JSON again
MAX_EVENT_NAME: Final = 200  # characters
_CACHED_SHAPES: Final = 1024
_CACHED_BYTES: Final = 8192  # the shapes of larger items are not kept, which bounds the memory all kept ones take
_BRACKET: Final = ord("[")

_decode = msgspec.json.Decoder().decode


class UnreadableEvent(RouterError):
    """An item that is no event; the message is one of a few fixed reasons and holds nothing of the item."""


class Plan(NamedTuple):
    """The keys of an item by what they hold, the preferred ones of a field first.

    `texts` has the fields that are plain text and are present, as pairs of field and key. `kept` are the keys that stay
    by their name: those of no field, the ERP's own id of the entity, which is not the number of the resource, and the
    parts of a key. `absent` has the keys that may hold what says nothing, with those values.
    """

    event: tuple[str, ...]
    notification_id: tuple[str, ...]
    entity_id: tuple[str, ...]
    entity: tuple[str, ...]
    record_key: tuple[str, ...]
    timestamp: tuple[str, ...]
    deleted_at: tuple[str, ...]
    scheduled: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]
    kept: tuple[str, ...]
    absent: tuple[tuple[str, frozenset[str]], ...]


class Layout:
    """What a publisher's file says of its items made ready for reading: sorts their keys into fields."""

    def __init__(
        self,
        dialect: Dialect,
        paths: Paths,
        absent: tuple[tuple[str, tuple[str, ...]], ...] = (),
        actions: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.records = Records(paths)
        self.actions = dict(actions)
        self.names_entities = bool(dialect.entity)
        self._absent = {field: frozenset(values) for field, values in absent}
        self._wire_names: dict[str, tuple[str, ...]] = dict(dialect)
        self._plans: dict[tuple[str, ...], Plan] = {}

    @classmethod
    def of(cls, publisher: Publisher) -> "Layout":
        """Return the layout of a publisher's items."""
        return cls(publisher.dialect, publisher.paths, publisher.absent, publisher.actions)

    def plan(self, item: Mapping[str, Any], size: int) -> Plan:
        """Sort the keys of an item of `size` bytes; keys that spell one name differently keep the order of the body."""
        keys = tuple(item)
        plan = self._plans.get(keys)
        if plan is None:
            plan = self._sort(keys)
            if size <= _CACHED_BYTES:
                if len(self._plans) >= _CACHED_SHAPES:
                    self._plans.clear()
                self._plans[keys] = plan
        return plan

    def _sort(self, keys: tuple[str, ...]) -> Plan:
        spellings: dict[str, list[str]] = {}
        for key in keys:
            spellings.setdefault(fold(key), []).append(key)
        found = {
            field: tuple(key for name in names for key in spellings.pop(name, ()))
            for field, names in self._wire_names.items()
        }
        absent = tuple((key, values) for field, values in self._absent.items() for key in found[field])
        alone = {field: found.pop(field) for field in Plan._fields if field in found}
        texts = tuple((field, key) for field, keys in found.items() for key in keys)
        unknown = tuple(key for keys in spellings.values() for key in keys)
        return Plan(**alone, texts=texts, kept=unknown + alone["entity_id"] + alone["record_key"], absent=absent)


def read_object(raw: bytes) -> dict[str, Any]:
    """Decode one JSON object strictly, integers exact, the last of two equal keys winning; raises UnreadableEvent."""
    try:
        item = _decode(raw)
    except (ValueError, RecursionError):  # ValueError is the root of all that msgspec raises; deep nesting is the other
        raise UnreadableEvent("not valid JSON" if _is_text(raw) else "not valid UTF-8") from None
    if type(item) is not dict:
        raise UnreadableEvent("not a JSON object")
    # An item without a second bracket, in strings or not, is flat: most are, and finding none costs next to nothing.
    if (raw.rfind(b"{") > 0 or _BRACKET in raw) and is_too_deep(item):
        raise UnreadableEvent("nested too deeply")
    return item


def _is_text(raw: bytes) -> bool:
    """Return whether the bytes are UTF-8; msgspec's errors say so only in some of its versions."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_too_deep(item: Mapping[str, Any]) -> bool:
    """Return whether objects and lists are within each other more than MAX_DEPTH times."""
    level: list[Any] = [item]
    for _ in range(MAX_DEPTH):
        children = [child for parent in level for child in (parent.values() if isinstance(parent, dict) else parent)]
        level = [child for child in children if isinstance(child, dict | list)]
    return bool(level)


def event_name(value: Any) -> str | None:
    """Return a usable name of an event; None for what is none; raises UnreadableEvent for one that is too long."""
    if type(value) is not str or not value or value.isspace():
        return None
    if len(value) > MAX_EVENT_NAME:
        raise UnreadableEvent("event name too long")
    return value


def id_text(value: Any) -> str | None:
    """Return what an id says, a text or an integer; None for anything else, a boolean too."""
    if type(value) is str:
        return value
    return str(value) if type(value) is int else None
