"""By what an event is ordered: its key, its company, and whether a later event of its key may stand for it."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec

from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.fields import UnreadableEvent
from router.process.forking import contained
from router.store.record import Fields, read_event
from workers.failure import text_of
from workers.subscription import Subscription

_LONGEST = 200
"""Characters of a key that are kept as they are."""
_LONGEST_ERROR = 2_000
"""Bytes of an error's text that are kept."""


class Keyed(NamedTuple):
    """What orders an event; without a key it is ordered by nothing. `error` says why it could not be found out."""

    key: bytes | None
    company: bytes = b""
    may_be_merged: bool = False
    error: str = ""


class _Identity(msgspec.Struct):
    """What of an event's JSON says whose it is."""

    action: str | None = None
    resource: str | None = None
    company_id: str | None = None
    tenant_id: str | None = None


_decode = msgspec.json.Decoder(_Identity).decode


class Keying:
    """Tells the keys of a subscription's events."""

    def __init__(self, subscription: Subscription, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._function: Callable[[Event], str | None] | None = None
        self._name = None
        if callable(subscription.key):
            self._function = subscription.key
        else:
            self._name = subscription.key
        self._keep = frozenset(subscription.coalesce.keep) if subscription.coalesce else None
        self._by_company = subscription.fair_by == "company"

    def of(self, stream: str, fields: Fields) -> Keyed:
        """Return what orders the event of an entry, whatever the entry holds and a user's function does."""
        event = self._event(stream, fields)
        if event is None:
            return Keyed(None)
        may_be_merged = self._keep is not None and event.action not in self._keep
        try:
            key = contained(self._function, event) if self._function else self._known(event)
            encoded = None if key is None else bounded(key)
        except BaseException as error:  # noqa: BLE001 - whatever a user's function raises, the other events go on
            return Keyed(None, self._company(event), error=_explained(text_of(error) or type(error).__qualname__))
        return Keyed(encoded, self._company(event), may_be_merged and encoded is not None)

    def without(self, stream: str, fields: Fields, why: str) -> Keyed:
        """Return what is known of an entry whose key cannot be found out, for this reason."""
        event = self._event(stream, fields)
        return Keyed(None) if event is None else Keyed(None, self._company(event), error=_explained(why))

    def _event(self, stream: str, fields: Fields) -> Event | None:
        """Return the event of an entry; None where there is none, and the entry ends dead for that reason."""
        try:
            return read_event(self._catalogue, stream, fields)
        except (UnreadableEvent, ValueError, RecursionError):
            return None

    def _company(self, event: Event) -> bytes:
        return bounded(event.company_id or "") if self._by_company else b""

    def _known(self, event: Event) -> str | None:
        return _NAMED[self._name](event) if self._name in _NAMED else None


def _of_resource(event: Event | _Identity) -> str | None:
    if event.resource is None:
        return None
    return "/".join([*map(_quoted, (event.tenant_id, event.company_id)), event.resource])


def _of_company(event: Event | _Identity) -> str | None:
    if event.company_id is None:
        return None
    return "/".join(map(_quoted, (event.tenant_id, event.company_id)))


_NAMED: Mapping[str | None, Callable[[Event | _Identity], str | None]] = {
    "resource": _of_resource,
    "company": _of_company,
}


_PARTS = {"resource": 3, "company": 2}
"""Of how many parts a key is that is made by one of the usual rules."""


def usual_keys(event: Event | bytes) -> list[bytes]:
    """Return the keys that an event, or one as JSON, has where its subscription needs no function for that."""
    try:
        known = event if isinstance(event, Event) else _decode(event)
    except (ValueError, RecursionError):
        return []
    return [bounded(key) for make in _NAMED.values() if (key := make(known)) is not None]


def whose(rule: str, key: bytes) -> tuple[str, str | None]:
    """Return company and resource that a key names which was made by this rule; what it does not name is empty."""
    parts = key.decode(errors="backslashreplace").split("/", 2)
    if len(parts) != _PARTS.get(rule):
        return "", None
    return unquote(parts[1]), parts[2] if rule == "resource" else None


def owner_of(rule: str, key: bytes) -> tuple[str, str] | None:
    """Return tenant and company that a key names which was made by this rule; None where it names none for sure."""
    parts = key.decode(errors="backslashreplace").split("/", 2)
    return (unquote(parts[0]), unquote(parts[1])) if len(parts) == _PARTS.get(rule) else None


def bounded(key: str) -> bytes:
    """Return a key as the store has it: without NUL, which ends it there, and of a bounded length.

    Raises TypeError for what is no text.
    """
    if not isinstance(key, str):
        raise TypeError(f"the key function returns a str or None, not {key!r}")
    encoded = key.encode(errors="backslashreplace").replace(b"\0", b"\\0")
    if len(encoded) <= _LONGEST:
        return encoded
    return encoded[:_LONGEST] + b"~" + sha256(encoded).hexdigest().encode()


def _explained(why: str) -> str:
    text = why[:_LONGEST_ERROR].encode(errors="backslashreplace")[:_LONGEST_ERROR]
    return f"its key could not be made: {text.decode(errors='ignore')}"


@lru_cache(1024)  # there are few tenants and companies
def _quoted(part: str | None) -> str:
    return quote(part or "", safe="", errors="backslashreplace")
