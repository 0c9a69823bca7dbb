"""The incidents that all workers share: each begins once and ends once, however many of them see it."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, named_values
from router.store.watched.incidents import IncidentCalls
from router.telemetry import logs
from workers.incidents.incident import SUBJECT, Incident, clipped, incident_of, notice_of, packed

__all__ = ["Incidents", "Muted"]

_KIND: Final = re.compile(r"[a-z][a-z_]{0,30}")
_log = logs.get("incidents")


@dataclass(frozen=True, slots=True)
class Muted:
    """Incidents of a kind about a subject that nobody wants to hear of, until then (epoch ms; 0: for good)."""

    kind: str
    subject: str
    until: int


class Incidents:
    """Opens, ends and lists incidents; every method raises StoreUnavailable. `clock` in epoch seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._calls = IncidentCalls(store.keys)
        self._clock = clock

    async def open(self, incident: Incident) -> bool:
        """Open an incident; return whether this did: it did not last, and is not muted. Its notice is then appended.

        One that lasts gets the texts of this. Of one kind, 500 last at most: a further one is logged and left out.
        """
        kept = clipped(incident)
        call = self._calls.open(_checked(kept.kind), kept.subject, self._now(), packed(kept))
        done = int(await self._store.call(call))
        if done < 0:
            _log.warning("incident_left_out", kind=kept.kind, subject=kept.subject, reason="too many of its kind last")
        elif done:
            _log.warning("incident_began", kind=kept.kind, subject=kept.subject, what=kept.what, advice=kept.do)
        return done > 0

    async def end(self, kind: str, subject: str, *, over: int | None = None) -> bool:
        """End an incident; return whether this did: it lasted. Its notice is then appended.

        `over` says when it ended, epoch milliseconds; now unless given.
        """
        subject, now = subject[:SUBJECT], self._now()
        call = self._calls.end(_checked(kind), subject, now, now if over is None else over)
        done = int(await self._store.call(call)) > 0
        if done:
            _log.info("incident_over", kind=kind, subject=subject)
        return done

    async def listed(self) -> list[Incident]:
        """Return the incidents that last, those that began first in front."""
        key = self._store.keys.incidents()
        (found,) = checked(forgiven(await self._store.commands([("HGETALL", key)]), [key], {}))
        last = [incident for text in named_values(found).values() if (incident := incident_of(text))]
        return sorted(last, key=lambda one: (one.since, one.kind, one.subject))

    async def notices(self, most: int = 100) -> list[Incident]:
        """Return the last notices, the newest first: of incidents that began, and of those that ended."""
        key = self._store.keys.notices()
        replies = await self._store.commands([("XREVRANGE", key, "+", "-", "COUNT", most)])
        (entries,) = checked(forgiven(replies, [key], []))
        return [notice for _, fields in entries if (notice := notice_of(fields))]

    async def mute(self, kind: str, subject: str, until: int = 0) -> bool:
        """Open none of a kind about a subject until then (epoch milliseconds; 0: for good); one that lasts is removed.

        Returns whether it was not muted before. Raises ValueError where too many are muted.
        """
        done = int(await self._store.call(self._calls.mute(_checked(kind), subject[:SUBJECT], self._now(), until)))
        if done < 0:
            raise ValueError("too many incidents are muted: unmute some first")
        return done > 0

    async def unmute(self, kind: str, subject: str) -> bool:
        """Have incidents of a kind about a subject opened again; return whether they were muted."""
        return bool(await self._store.call(self._calls.unmute(_checked(kind), subject[:SUBJECT], self._now())))

    async def muted(self) -> list[Muted]:
        """Return what is muted now, in order of kind and subject."""
        key = self._store.keys.muted()
        (found,) = checked(forgiven(await self._store.commands([("HGETALL", key)]), [key], {}))
        names = {name.decode(errors="replace"): until for name, until in named_values(found).items()}
        rows = [(*name.partition("/")[::2], int(until) if until.isdigit() else 0) for name, until in names.items()]
        return [Muted(*row) for row in sorted(rows) if not 0 < row[2] <= self._now()]

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _checked(kind: str) -> str:
    if not _KIND.fullmatch(kind):
        raise ValueError(f"{kind[:40]!r} is no kind of incident: use a to z and '_'")
    return kind
