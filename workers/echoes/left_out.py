"""Has it known for a week why the handler was left out for an event that is done: `events show` says so."""

from typing import Final

from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.store.keys import ECHO, ONCE
from router.tasks.ending import in_time
from router.telemetry import logs
from workers.delivery import Delivery
from workers.echoes.noted import PATIENCE

__all__ = ["ECHO", "ONCE", "note_left_out"]

_SHOWN: Final = 7 * 86_400_000
"""Milliseconds."""
_log = logs.get("echo")


async def note_left_out(store: Store, subscription: str, delivery: Delivery, why: bytes) -> None:
    """Note it for each event of the delivery; the store being away is no error."""
    event = delivery.event
    merged = [(f"{each.publisher or event.publisher}/{each.type}", each.id) for each in delivery.merged]
    keys = [store.keys.echoed(stream, subscription, id_) for stream, id_ in [*merged, (event.stream, event.id)]]
    try:
        await in_time(PATIENCE, store.commands([("SET", key, why, "PX", _SHOWN) for key in keys]))
    except STORE_ERRORS as error:
        _log.warning("left_out_not_shown", event_id=event.id, error=type(error).__name__)
