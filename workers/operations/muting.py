"""Muting incidents that nobody wants to hear of, such as the silence of a company that has left; it is audited."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from router.store.client import Store
from router.tasks.ending import whole
from workers.incidents import KINDS, Incidents
from workers.operations.audit import CHANGED, MATCHED, Deed, accounted


async def mute(
    store: Store, kind: str, subject: str, seconds: float | None, *, by: str, reason: str = ""
) -> datetime | None:
    """Open no incident of a kind about a subject, for so long or until it is unmuted; return the end.

    One that lasts is removed. Raises StoreUnavailable, and ValueError for a kind that is none or where too many are
    muted.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind[:40]!r} is no kind of incident: there are {', '.join(sorted(KINDS))}")
    until = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    selector = {"until": until.isoformat(timespec="seconds")} if until else {}
    counts = Counter({MATCHED: 1})
    async with accounted(store, Deed("incidents mute", _name(kind, subject), selector, reason, by), counts):
        end = int(until.timestamp() * 1000) if until else 0
        await whole(Incidents(store).mute(kind, subject, end))
        counts[CHANGED] = 1
    return until


async def unmute(store: Store, kind: str, subject: str, *, by: str, reason: str = "") -> bool:
    """Have incidents of a kind about a subject said again; return whether they were muted. Raises as `mute`."""
    counts = Counter({MATCHED: 1})
    async with accounted(store, Deed("incidents unmute", _name(kind, subject), {}, reason, by), counts):
        was = await whole(Incidents(store).unmute(kind, subject))
        counts[CHANGED] = int(was)
    return was


def _name(kind: str, subject: str) -> str:
    return f"{kind} {subject}".encode(errors="backslashreplace").decode()
