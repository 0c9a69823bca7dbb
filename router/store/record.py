"""The record: the names of an entry's fields and their forms, in every stream that holds events.

    events, inbox     id, at, event, raw; hints and trace where there are any; generation, where a publisher repeats ids
    inbox, retries    also order; attempts, crashes, history and tried, once there was an attempt; a retry's delay;
                      deferred, once it was
    dead letters      also reason; origin of an imported one; key, where the subscription is keyed
    replays           also generation; merged, where the subscription is keyed
    quarantine        id, at, reason, raw; hints and trace where there are any

`event` is the normalised event as one JSON object: the model's field names, without the fields that are None or empty,
and without `raw` and `hints`, which stand beside it. Entries of earlier versions have no `event`: theirs is made of
`raw`, as is that of an entry whose `event` cannot be read, or is one of another id or stream.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from router.events.catalogue import Catalogue
from router.events.event import Event, struct_fields
from router.events.fields import MAX_DEPTH, UnreadableEvent, is_too_deep
from router.events.hints import read_hints
from router.events.identify import Identified
from router.events.normalise import normalise

ID: Final = b"id"
"""The event's id; in the quarantine the digest of what is there."""

AT: Final = b"at"
"""When the request came in, epoch milliseconds."""

EVENT: Final = b"event"
"""The normalised event, JSON."""

RAW: Final = b"raw"
"""The item's own bytes."""

HINTS: Final = b"hints"
"""Unsigned headers of the request, a JSON object."""

TRACE: Final = b"trace"
"""The `traceparent` of the request's span."""

TRIED: Final = b"tried"
"""The `traceparent` of the last attempt's span."""

ATTEMPTS: Final = b"attempts"
"""Attempts that failed, since the last replay."""

CRASHES: Final = b"crashes"
"""Workers that died with it, since the last replay."""

HISTORY: Final = b"history"
"""Lines of JSON, oldest first: failed attempts, crashes and replays."""

REASON: Final = b"reason"
"""Why it is dead, or quarantined."""

ORIGIN: Final = b"origin"
"""The entry id with which an imported dead letter was exported."""

DELAY: Final = b"delay"
"""Milliseconds for which a retry was put off; the first field of its entry."""

DEFERRED: Final = b"deferred"
"""How often it was deferred since the last replay, since when (epoch milliseconds) and why: a JSON array."""

ORDER: Final = b"order"
"""The id of the event's entry in its stream, by which the events of a key are ordered."""

MERGED: Final = b"merged"
"""The events that a dead letter stands for besides its own, oldest first: JSON rows of id, type, `at`, publisher."""

KEY: Final = b"key"
"""By which its subscription ordered it when it became a dead letter."""

GENERATION: Final = b"generation"
"""What tells a replay from the first delivery, and from other replays: what was done for one is not done for another.

Retries and redeliveries keep it. Where every webhook of a publisher is stored, whatever its id, it names the webhook.
"""

FIELDS: Final = frozenset(
    {ID, AT, EVENT, RAW, HINTS, TRACE, TRIED, ATTEMPTS, CRASHES, HISTORY, REASON, ORIGIN, DELAY, ORDER, MERGED}
    | {DEFERRED, GENERATION, KEY},
)
"""All of them; `scripts/lib/fields.lua` has the same for the scripts."""

Fields = Mapping[bytes, bytes]

_MOST_DIGITS: Final = 15
_FORM: Final = [name for name in Event.model_fields if name not in ("hints", "raw")]  # those two stand beside it

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(msgspec.defstruct("Form", struct_fields(_FORM), kw_only=True)).decode
_values = msgspec.structs.asdict


def event_fields(item: Identified, at: int, hints: bytes = b"") -> tuple[bytes | str | int, ...]:
    """Return names and values of the entry of an event received at `at`, epoch milliseconds."""
    more = (HINTS, hints) if hints else ()
    if item.normalised is not None:
        item.normalised["received_at"] = _moment(at)
        if event := write_event(item.normalised):
            return (ID, item.id, AT, at, EVENT, event, RAW, item.raw, *more)
    return (ID, item.id, AT, at, RAW, item.raw, *more)


def quarantine_fields(
    digest: str, at: int, reason: str, raw: bytes, hints: bytes = b""
) -> tuple[bytes | str | int, ...]:
    """Return names and values of the entry of what is quarantined, received at `at`, epoch milliseconds."""
    return (ID, digest, AT, at, REASON, reason, RAW, raw, *((HINTS, hints) if hints else ()))


def write_event(values: Mapping[str, Any]) -> bytes:
    """Return the field of an event with these values, none of them None; empty where JSON cannot hold one."""
    try:
        return _encode(values)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return b""


def read_event(catalogue: Catalogue, stream: str, fields: Fields, *, renormalise: bool = False) -> Event:
    """Return the event of an entry, whatever else its fields hold.

    `renormalise`: made again from `raw`, with this catalogue. Raises UnreadableEvent where the entry has no event.
    """
    if ID not in fields or RAW not in fields:
        raise UnreadableEvent("the entry has no id or no raw: it was not written by an ingress")
    raw = fields[RAW]
    hints = read_hints(fields[HINTS]) if HINTS in fields else {}
    id_ = text_of(fields, ID)
    if EVENT in fields and not renormalise and (values := _read(fields[EVENT], stream, id_)) is not None:
        values["hints"] = hints
        values["raw"] = raw
        return Event.trusted(values)
    try:
        received = _moment(number_of(fields.get(AT)))
    except (ValueError, OverflowError, OSError):
        raise UnreadableEvent("the time of receipt is out of range") from None
    return normalise(catalogue, stream, id_, raw, received, hints)


def _read(written: bytes, stream: str, id_: str) -> dict[str, Any] | None:
    """Return the values that an `event` holds; None for what is none, is another's, or is not in the form.

    Ingress writes no such: it was edited manually, or moved with its entry to the stream of another type.
    """
    try:
        values = _values(_decode(written))
        if values["id"] != id_ or f"{values['publisher']}/{values['type']}" != stream:
            return None
        if (extra := values["extra"]) and written.count(b"[") + written.count(b"{") > MAX_DEPTH and is_too_deep(extra):
            return None
        if (received := values["received_at"]).tzinfo is not UTC:
            values["received_at"] = received.astimezone(UTC)
        if (occurred := values["occurred_at"]) is not None and occurred.tzinfo is not UTC:
            values["occurred_at"] = occurred.astimezone(UTC)
    except (ValueError, OverflowError, RecursionError):
        return None
    return values


def received_at(fields: Fields) -> datetime:
    """Return when what an entry holds was received; 1970 where it was edited manually to have no possible time."""
    return _moment(millis_of(fields))


def millis_of(fields: Fields) -> int:
    """Return when it was received in epoch milliseconds; 0 where the entry has no possible time."""
    at = fields.get(AT, b"")
    return number_of(at) if len(at) < _MOST_DIGITS else 0


def number_of(value: bytes | None) -> int:
    """Return the number that a field holds; 0 for none, and for what is no number that we would write."""
    return int(value) if value is not None and value.isdigit() and len(value) <= _MOST_DIGITS else 0


def text_of(fields: Fields, name: bytes) -> str:
    """Return the text of a field; empty where there is none."""
    return fields.get(name, b"").decode(errors="replace")


@lru_cache(maxsize=16)  # many events are received in the same millisecond
def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
