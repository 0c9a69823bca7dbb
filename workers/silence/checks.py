"""What else is an incident: requests refused, subscriptions that finish nothing, dead letters, spools, quotas."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.health.judgement import Server, is_nearly_full
from router.store.health.survey import ask_servers
from router.store.watched.traffic import Refused, Spooled, refusals, spools
from workers.incidents import GONE, Incident
from workers.operations.figures import Figures, Row, figures
from workers.silence import texts
from workers.silence.notebook import Kept
from workers.state.limits import LimitState, limits
from workers.state.pauses import paused

__all__ = ["Checks"]

_REFUSED: Final = 3
"""Requests that must have been refused, and for so long at least (milliseconds), before one speaks of all."""
_WHILE: Final = 600_000
_FORGOTTEN: Final = 86_400_000
"""Milliseconds after the last refused request, when the sender has given up."""
_PAUSED: Final = 86_400_000
_STUCK: Final = 900.0
"""Seconds for which an event waits, at least, before a subscription is called stuck."""
_ALONE: Final = 300.0
"""The same where no worker lives."""
_GROWING: Final = 3_600_000
"""Milliseconds without a further dead letter after which they do not grow any more."""
_REST: Final = 900_000
"""Milliseconds after which a system in which nothing happens is looked at again."""
_LOOKED_FOR: Final = frozenset({"idle", "dead", "quota", "memory"})
_STALE: Final = 600_000
"""Milliseconds after which what an ingress said of its spool counts no more: it has ended."""


class Checks:
    """Looks at all this; `clock` in epoch seconds."""

    def __init__(
        self, store: Store, catalogue: Catalogue, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._lease = settings.workers.lease
        self._clock = clock
        self._finished: Mapping[str, int] | None = None
        self._spent: dict[tuple[str, str], int] = {}
        self._is_busy = True
        self._came = (0, 0)
        self._looked_at = 0

    async def found(self, kept: Kept, last: Sequence[Incident], came: tuple[int, int]) -> list[Incident]:
        """Return what is so now, except silence; raises StoreUnavailable.

        `last` are the incidents that last, `came` is something that changes whenever an event comes. Looking at all
        streams takes hundreds of commands: while nothing comes, lasts or waits, it is done now and then.
        """
        now = int(self._clock() * 1000)
        held = list(_spools(now, await spools(self._store)))
        is_busy = self._is_busy or came != self._came or any(one.kind in _LOOKED_FOR for one in last)
        if not is_busy and 0 <= now - self._looked_at < _REST:
            return held
        seen = await figures(self._store, self._catalogue, self._lease)
        idle = {one.subject for one in last if one.kind == "idle"}
        spent = self._quotas(now, await limits(self._store, now=now / 1000), last)
        full = [server.name or "redis" for server in await self._servers() if is_nearly_full(server.info)]
        found = [*self._idle(now, seen, idle), *_dead(now, seen, kept), *spent, *_memory(now, full, last)]
        self._is_busy = bool(found) or any(row.unfinished for row in seen.rows)
        self._came, self._looked_at = came, now
        return [*found, *held]

    async def _servers(self) -> Sequence[Server]:
        return await ask_servers(self._store, fsync=False)

    async def refused(self) -> dict[str, Incident]:
        """Return the publishers of which all requests are refused."""
        now, found = int(self._clock() * 1000), await refusals(self._store)
        known = self._catalogue.publishers
        return {
            name: texts.refused(name, one) for name, one in found.items() if name in known and _is_refused(now, one)
        }

    async def ownerless(self, last: Sequence[Incident]) -> list[Incident]:
        """Return the incidents of forwards whose subscription was removed: neither paused nor on any stream."""
        said = [one for one in last if one.kind == GONE]
        halted = await paused(self._store, [one.subject for one in said])
        if not (open_ := [one for one in said if one.subject not in halted]):
            return []
        there = {row.name for row in (await figures(self._store, self._catalogue, self._lease)).rows}
        return [one for one in open_ if one.subject not in there]

    def _idle(self, now: int, seen: Figures, last: set[str]) -> Iterator[Incident]:
        before, self._finished = self._finished, _finished(seen)
        for row in seen.rows:
            if row.pause is not None:
                since = int(row.pause.since.timestamp() * 1000)
                if now - since > _PAUSED:
                    yield texts.paused(row.name, since)
                continue
            if not row.is_of_workers or not row.total("lag") or row.oldest is None:
                continue
            since = now - round(row.oldest * 1000)
            if not row.workers:
                if row.oldest >= _ALONE:
                    yield texts.backlog(row.name, since)
            elif row.oldest >= _STUCK and self._stands(row, before, last):
                yield texts.stuck(row.name, since)

    def _stands(self, row: Row, before: Mapping[str, int] | None, last: set[str]) -> bool:
        """Return whether a subscription has finished nothing since the last look; as was said where that is new."""
        if before is None or self._finished is None:
            return row.name in last
        return before.get(row.name) == self._finished[row.name]

    def _quotas(self, now: int, found: Sequence[LimitState], last: Sequence[Incident]) -> Iterator[Incident]:
        said = {one.subject: one.since for one in last if one.kind == "quota"}
        spent = {(limit.name, quota.subject) for limit in found for quota in limit.quotas if quota.waits}
        self._spent = {one: self._spent.get(one, now) for one in spent}
        for (limit, subject), since in self._spent.items():
            yield texts.quota(limit, subject, said.get(texts.named(limit, subject), since))


def _is_refused(now: int, one: Refused) -> bool:
    return one.requests >= _REFUSED and one.last - one.since >= _WHILE and now - one.last < _FORGOTTEN


def _finished(seen: Figures) -> dict[str, int]:
    """Return how many events each subscription has finished, up to a number that does not change."""
    added = {stream.stream: stream.added or 0 for stream in seen.streams}
    return {row.name: sum(added[stream] for stream in row.ways) - row.unfinished for row in seen.rows}


def _dead(now: int, seen: Figures, kept: Kept) -> Iterator[Incident]:
    counts, known = dict[str, list[int]](), kept.dead
    for row in seen.rows:
        number = row.total("dead")
        before, since, grew = [number, 0, 0] if known is None else known.get(row.name, [0, 0, 0])
        if number > before:
            since, grew = since if now - grew < _GROWING else now, now
        counts[row.name] = [number, since, grew]
        if 0 <= now - grew < _GROWING and number:
            yield texts.dead(row.name, since)
    kept.dead = counts


def _memory(now: int, full: Sequence[str], last: Sequence[Incident]) -> Iterator[Incident]:
    said = {one.subject: one.since for one in last if one.kind == "memory"}
    for server in full:
        yield texts.memory(server, said.get(server, now))


def _spools(now: int, found: Mapping[str, Spooled]) -> Iterator[Incident]:
    for process, one in found.items():
        if now - one.at < _STALE:
            yield texts.spool(process, one.since)
