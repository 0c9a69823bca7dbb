"""What ingress wants stored, and who waits for it."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from router.events.identify import Identified, Unreadable
from router.store.keys import Keys
from router.store.record import GENERATION, event_fields, quarantine_fields
from router.store.scripts import Field
from router.telemetry import logs

Answer = Callable[[Sequence[bool] | Exception], None]
"""Called once: for each entry of a request whether it is new, or why not all of them are stored."""

_LONG = slice(5, None, 2)  # the values behind the id and the time
_log = logs.get("ingress")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One item to append: where to, under which deduplication marker, and the fields of its entry."""

    stream: str
    marker: str
    fields: tuple[Field, ...]
    size: int


def entry_of(
    keys: Keys, publisher: str, item: Identified | Unreadable, at: int, hints: bytes = b"", webhook: str = ""
) -> Entry:
    """Return the entry of an item received at `at`, epoch milliseconds, with hints as `events.hints` writes them.

    `webhook` names what brought the item, where that alone is never to be stored twice (see `router.store.windows`).
    """
    if isinstance(item, Identified):
        id_ = f"{item.id}#{webhook}" if webhook else item.id
        stream, marker = keys.events(item.stream), keys.seen(item.stream, id_)
        fields = (*event_fields(item, at, hints), *((GENERATION, webhook) if webhook else ()))
    else:
        digest = f"sha256:{sha256(item.raw).hexdigest()}"
        stream, marker = keys.quarantine(publisher), keys.seen(publisher, digest)
        fields = quarantine_fields(digest, at, item.reason, item.raw, hints)
    long: Any = fields[_LONG]
    return Entry(stream, marker, fields, sum(map(len, long)))


class Waiting(msgspec.Struct, frozen=True, eq=False):
    """A request: its entries, and what is called with what became of them."""

    entries: Sequence[Entry]
    answer: Answer

    def tell(self, outcome: Sequence[bool] | Exception) -> None:
        """Answer it; if that breaks, the others of a batch are answered all the same."""
        try:
            self.answer(outcome)
        except Exception:  # noqa: BLE001 - a fault of ours, which is one request's
            _log.exception("answer_failed")
