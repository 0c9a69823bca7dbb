"""Pausing a subscription, or a company of a keyed one, and resuming it; workers/state says what the store keeps."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from router.store import scripts
from router.store.client import Store
from router.store.lines import Lines
from router.store.reading import moment_of
from router.tasks.ending import whole
from workers.keyed.keying import bounded
from workers.operations.audit import CHANGED, MATCHED, Deed, accounted
from workers.state.companies import CompanyPause, company_pause
from workers.state.pauses import Pause


async def pause(store: Store, name: str, seconds: float | None, *, by: str, reason: str = "") -> Pause:
    """Pause a subscription, for so long or until it is resumed; in place of a pause that it has.

    The audit has a line of it, and of a resumption. Raises StoreUnavailable.
    """
    milliseconds = 0 if seconds is None else max(1, int(seconds * 1000))
    by, reason = _sendable(by), _sendable(reason)
    until = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    selector = {"until": until.isoformat(timespec="seconds")} if until else {}
    deed = Deed("subscriptions pause", name, selector, reason, by)
    entry_id = await _done(store, deed, _call(store, deed, "pause", milliseconds))
    since = moment_of(entry_id)
    until = None if seconds is None else since + timedelta(milliseconds=milliseconds)
    return Pause(entry_id.decode(), since, until, by, reason)


async def resume(store: Store, name: str, *, by: str, reason: str = "") -> None:
    """End the pause of a subscription; raises StoreUnavailable."""
    deed = Deed("subscriptions resume", name, {}, _sendable(reason), _sendable(by))
    await _done(store, deed, _call(store, deed, "resume"))


async def pause_company(
    store: Store, name: str, company: str, seconds: float | None, *, by: str, reason: str = ""
) -> CompanyPause:
    """Have nothing more of a company handled by a keyed subscription, for so long or until it is resumed.

    In place of a pause that the company has. The audit has a line of it, and of a resumption. Raises
    StoreUnavailable.
    """
    milliseconds = 0 if seconds is None else max(1, int(seconds * 1000))
    until = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    selector = {"company": company} | ({"until": until.isoformat(timespec="seconds")} if until else {})
    by, reason, known = _sendable(by).replace("\0", " "), _sendable(reason), bounded(company)
    call = Lines(store.keys, name).stop(known, milliseconds, by, reason)
    since, end = await _done(store, Deed("subscriptions pause", name, selector, reason, by), call)
    return company_pause(known, end, b"\0".join([since, by.encode(), reason.encode()]))


async def resume_company(store: Store, name: str, company: str, *, by: str, reason: str = "") -> bool:
    """End the pause of a company; returns whether there was one. Raises StoreUnavailable."""
    deed = Deed("subscriptions resume", name, {"company": company}, _sendable(reason), _sendable(by))
    counts = Counter({MATCHED: 1})
    async with accounted(store, deed, counts):
        was = await whole(store.call(Lines(store.keys, name).resume(bounded(company))))
        counts[CHANGED] = 0 if was is None else 1
    return was is not None


def _call(store: Store, deed: Deed, verb: Literal["pause", "resume"], milliseconds: int = 0) -> scripts.Call:
    names = (store.keys.pause(deed.subject), store.keys.halted(deed.subject))
    return scripts.pause(*names, verb, milliseconds, deed.actor, deed.reason)


async def _done(store: Store, deed: Deed, call: scripts.Call) -> Any:
    counts = Counter({MATCHED: 1})
    async with accounted(store, deed, counts):
        reply = await whole(store.call(call))
        counts[CHANGED] = 1
    return reply


def _sendable(words: str) -> str:
    """Return words as text that can be sent and printed: an argument of a command may be any bytes."""
    return words.encode(errors="backslashreplace").decode()
