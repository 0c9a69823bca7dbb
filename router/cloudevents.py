"""The event as a CloudEvents 1.0 JSON event, and back.

Publisher and type make the CloudEvents `type`, the resource its `subject`, the item as sent its `data`; every other
field is an extension attribute. `extra` is not sent twice: `extrafields` names the members of `data` that are in it.
`hints` is a JSON object as text, of headers that nobody signed.
The attributes and limits are those of https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

import msgspec

from config.errors import RouterError
from router.events.event import Aware, Event, struct_fields

__all__ = ["InvalidCloudEvent", "from_cloudevent", "to_cloudevent", "to_cloudevent_json"]

_TYPE: Final = "net.visma."
_SOURCE: Final = "urn:event-router:"


class InvalidCloudEvent(RouterError):
    """Not a CloudEvents 1.0 event that an event can be made of, or an event whose raw bytes are not JSON."""


def _extension(field: str) -> str:
    """Return the name of a field as an attribute: those have lower-case letters and digits alone."""
    return field.replace("_", "")


class _Envelope(msgspec.Struct, kw_only=True, rename=_extension):
    """What `from_cloudevent` reads beside the fields in _SAME; attributes that are not ours are passed over."""

    specversion: str
    type: str
    id: str
    source: str
    received_at: Aware
    data: msgspec.Raw
    subject: str | None = None
    time: Aware | None = None
    ticks: str | None = None
    hints: str | None = None
    extra_fields: str | None = None
    extra: str | None = None


_OTHERS: Final = {*_Envelope.__struct_fields__, "publisher", "resource", "occurred_at", "raw"}
_SAME: Final = tuple(name for name in Event.model_fields if name not in _OTHERS)
"""The fields of which an attribute has the same value."""

_whole = msgspec.defstruct("Envelope", struct_fields(_SAME), bases=(_Envelope,), kw_only=True, rename=_extension)
_decode = msgspec.json.Decoder(cast("type[_Envelope]", _whole)).decode


def to_cloudevent(event: Event) -> dict[str, Any]:
    """Return the event as the object of a CloudEvents JSON event; `data` is the item, parsed.

    What is None is left out, `time` too where the sender gave none; `ticks` is a string, as a CloudEvents integer has
    32 bits. Raises InvalidCloudEvent where the raw bytes are not JSON.
    """
    data = _data(event)
    return {**_attributes(event, data), "data": data}


def to_cloudevent_json(event: Event, extensions: Mapping[str, Any] | None = None) -> bytes:
    """Return the event as the bytes of a CloudEvents JSON event; `data` is the item's own bytes, untouched.

    `extensions` are further attributes, by their names. Raises InvalidCloudEvent. `from_cloudevent` makes the very same
    event of it.
    """
    attributes = {**_attributes(event, _data(event)), **(extensions or {})}
    return msgspec.json.encode({**attributes, "data": msgspec.Raw(event.raw)})


def from_cloudevent(source: bytes | dict[str, Any]) -> Event:
    """Make the event that became this CloudEvents JSON event; of a parsed one, `raw` is written again from `data`.

    Raises InvalidCloudEvent for one that did not come from an event of this router.
    """
    try:
        envelope = _decode(source if isinstance(source, bytes) else msgspec.json.encode(source))
        return _event(envelope)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidCloudEvent(f"not a CloudEvents event of this router: {error}") from error


def _data(event: Event) -> Any:
    try:
        return msgspec.json.decode(event.raw)
    except (ValueError, RecursionError) as error:
        raise InvalidCloudEvent(f"the raw bytes of event {event.id} are not JSON: {error}") from error


def _attributes(event: Event, data: Any) -> dict[str, Any]:
    every = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"{_SOURCE}{event.publisher}",
        "type": f"{_TYPE}{event.publisher}.{event.type}",
        "subject": event.resource,
        "time": _timestamp(event.occurred_at),
        "datacontenttype": "application/json",
        "receivedat": _timestamp(event.received_at),
        "ticks": None if event.ticks is None else str(event.ticks),
        "hints": msgspec.json.encode(event.hints).decode() if event.hints else None,
        **{_extension(field): getattr(event, field) for field in _SAME},
        **_extra(event, data),
    }
    return {name: value for name, value in every.items() if value is not None}


def _timestamp(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def _extra(event: Event, data: Any) -> dict[str, str]:
    if not event.extra:
        return {}
    if isinstance(data, dict) and all(name in data and data[name] == value for name, value in event.extra.items()):
        return {"extrafields": msgspec.json.encode(list(event.extra)).decode()}
    return {"extra": msgspec.json.encode(event.extra).decode()}  # made by a user: it holds what was never sent


def _event(envelope: _Envelope) -> Event:
    publisher, dot, type_ = envelope.type.removeprefix(_TYPE).rpartition(".")
    if envelope.specversion != "1.0" or not dot or envelope.source != f"{_SOURCE}{publisher}":
        raise ValueError("specversion, source or type is another's")
    return Event(
        publisher=publisher,
        type=type_,
        id=envelope.id,
        resource=envelope.subject,
        occurred_at=envelope.time,
        received_at=envelope.received_at,
        ticks=None if envelope.ticks is None else int(envelope.ticks),
        extra=_read_extra(envelope),
        hints={} if envelope.hints is None else msgspec.json.decode(envelope.hints, type=dict[str, str]),
        raw=bytes(envelope.data),
        **{field: getattr(envelope, field) for field in _SAME},
    )


def _read_extra(envelope: _Envelope) -> dict[str, Any]:
    if envelope.extra is not None:
        return msgspec.json.decode(envelope.extra, type=dict[str, Any])
    if envelope.extra_fields is None:
        return {}
    data = msgspec.json.decode(envelope.data)
    return {name: data[name] for name in msgspec.json.decode(envelope.extra_fields, type=list[str])}
