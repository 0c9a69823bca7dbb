"""The record behind an event, fetched at the start of each attempt: after the newest event of a merged delivery."""

import re

from router.events.event import Event
from workers.erp.background import is_background
from workers.erp.clients import current_erp
from workers.erp.errors import NoRecord
from workers.record import Record

__all__ = ["record_of"]

_VERSIONED = re.compile(r"v[0-9]+/[^/]+/.", re.IGNORECASE)


async def record_of(event: Event) -> Record:
    """Fetch the record that an event is about; raises ErpError."""
    path = event.resource_path
    if path is None or not _VERSIONED.match(path):
        # Without its version a path leads nowhere, and the 404 would say that the record is gone.
        raise NoRecord(f"{event.stream} {event.id} names no record to fetch: leave its type out, or hydrate=False")
    erp = current_erp(event)
    if (answer := is_background(path)) is not None:
        version, id_ = answer
        return await erp.background(id_, version)
    return await erp.get(path)
