"""Pausing a subscription and resuming it; workers/state/pauses says what the store keeps of that."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Literal

from router.store import scripts
from router.store.client import Store
from router.store.reading import moment_of
from router.tasks.ending import whole
from workers.operations.audit import CHANGED, MATCHED, Deed, accounted
from workers.state.pauses import Pause


async def pause(store: Store, name: str, seconds: float | None, *, by: str, reason: str = "") -> Pause:
    """Pause a subscription, for so long or until it is resumed; in place of a pause that it has.

    The audit has a line of it, and of a resumption. Raises StoreUnavailable.
    """
    milliseconds = 0 if seconds is None else max(1, int(seconds * 1000))
    by, reason = _sendable(by), _sendable(reason)
    until = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    selector = {"until": until.isoformat(timespec="seconds")} if until else {}
    entry_id = await _done(store, Deed("subscriptions pause", name, selector, reason, by), "pause", milliseconds)
    since = moment_of(entry_id)
    until = None if seconds is None else since + timedelta(milliseconds=milliseconds)
    return Pause(entry_id.decode(), since, until, by, reason)


async def resume(store: Store, name: str, *, by: str, reason: str = "") -> None:
    """End the pause of a subscription; raises StoreUnavailable."""
    await _done(store, Deed("subscriptions resume", name, {}, _sendable(reason), _sendable(by)), "resume")


async def _done(store: Store, deed: Deed, verb: Literal["pause", "resume"], milliseconds: int = 0) -> bytes:
    keys, counts = store.keys, Counter({MATCHED: 1})
    names = (keys.pause(deed.subject), keys.halted(deed.subject))
    call = scripts.pause(*names, verb, milliseconds, deed.actor, deed.reason)
    async with accounted(store, deed, counts):
        entry_id: bytes = await whole(store.call(call))
        counts[CHANGED] = 1
    return entry_id


def _sendable(words: str) -> str:
    """Return words as text that can be sent and printed: an argument of a command may be any bytes."""
    return words.encode(errors="backslashreplace").decode()
