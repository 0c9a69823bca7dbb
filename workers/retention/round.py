"""One round of retention: removes from the store what has been kept for long enough.

Events go when every subscription has finished them and they are old. Dead letters and what is quarantined go only where
the settings say so, and never silently: they are removed unfinished. Streams that have left the catalogue are treated
like the others. Where events are archived, they go once they are in the archive.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from config.errors import described
from config.settings import RetentionSettings
from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.errors import STORE_ERRORS, StoreRefused, StoreUnavailable
from workers.archive.archiver import Archiver
from workers.metrics import WorkerMetrics
from workers.state.former import former_streams, note_streams
from workers.state.groups import parse_groups

What = TypeVar("What")

_TRUSTED = 3600.0
"""Seconds for which a stream is left alone whose events are all too young: somebody may have added older ones."""
_NAMED = 5
"""Keys to name in one line of the log."""

log = structlog.get_logger("retention")


class Retention:
    """Does rounds; every step is bounded, and `stopping` ends a round after the step under way."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: RetentionSettings,
        metrics: WorkerMetrics,
        stopping: asyncio.Event,
        archiver: Archiver | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._archiver = archiver
        self._store = store
        self._keys = store.keys
        self._catalogue = catalogue
        self._settings = settings
        self._metrics = metrics
        self._stopping = stopping
        self._failed = False
        self._monotonic = monotonic
        self._young = dict[str, float]()

    async def round(self) -> None:
        """Remove all there is to remove; what the store refuses for one stream is logged and stops no other."""
        self._failed = False
        streams = await self._streams()
        await self._archive(streams)
        await self._trim_events(streams)
        await self._discard_dead_letters(streams)
        await self._discard_quarantined(streams)
        (self._metrics.rounds_failed if self._failed else self._metrics.rounds_done).inc()

    async def _streams(self) -> Sequence[str]:
        """Return all streams, and write down those of the catalogue for when they are not in it any more."""
        former: Iterable[str] = ()
        try:
            former = await former_streams(self._store, self._catalogue)
            await note_streams(self._store, self._catalogue)
        except StoreUnavailable as error:
            self._failed = True
            if isinstance(error, StoreRefused):  # what follows reports a store that is away
                log.warning("retention_refused", error=str(error), number=1, keys=[self._keys.streams()])
        return (*self._catalogue.streams(), *former)

    async def _archive(self, streams: Sequence[str]) -> None:
        """Archive what is to be removed; whatever goes wrong with that, the rest of the round is done."""
        if self._archiver is None:
            return
        try:
            self._failed |= not await self._archiver.round(streams)
        except StoreRefused as error:
            self._failed = True
            log.warning("archive_refused", error=str(error))
        except STORE_ERRORS:
            raise
        except Exception:
            self._failed = True
            log.exception("archive_broken")

    async def _trim_events(self, streams: Sequence[str]) -> None:
        window = _milliseconds(self._settings.events)
        now, only_archived = self._monotonic(), self._archiver is not None
        calls = {
            stream: scripts.trim(
                *(self._keys.events(stream), self._keys.archived(stream), window),
                only_archived=only_archived,
                hear=True,
            )
            for stream in streams
            if self._young.get(stream, 0.0) <= now
        }
        waits = dict[str, int]()
        removed = await self._repeat(calls, waits)
        self._young = {
            stream: now + min(_TRUSTED, -waits[stream] / 1000) if stream in waits else self._young.get(stream, 0.0)
            for stream in streams
        }
        for stream, number in removed.items():
            self._metrics.trimmed.labels(stream).inc(number)
        if removed:
            log.info("events_trimmed", events=removed.total(), streams=len(removed))

    async def _discard_dead_letters(self, streams: Sequence[str]) -> None:
        age, count = self._settings.dead_letters_age, self._settings.dead_letters_count
        piles = {pile: self._keys.dead(*pile) for pile in await self._piles(streams)} if age or count else {}
        for (stream, subscription), number in (await self._discard(piles, age, count)).items():
            self._metrics.dead_letters_discarded.labels(subscription, stream).inc(number)
            log.warning("dead_letters_discarded", subscription=subscription, stream=stream, number=number)

    async def _discard_quarantined(self, streams: Sequence[str]) -> None:
        publishers = dict.fromkeys(stream.partition("/")[0] for stream in streams)
        keys = {slug: self._keys.quarantine(slug) for slug in publishers}
        removed = await self._discard(keys, self._settings.quarantine_age, self._settings.quarantine_count)
        for slug, number in removed.items():
            self._metrics.quarantine_discarded.labels(slug).inc(number)
            log.warning("quarantine_discarded", publisher=slug, number=number)

    async def _discard(self, keys: Mapping[What, str], age: float, count: int) -> Counter[What]:
        """Remove what is older than so many seconds or beyond so many entries; 0 for no limit."""
        if not (age or count):
            return Counter()
        return await self._repeat({what: scripts.discard(key, _milliseconds(age), count) for what, key in keys.items()})

    async def _piles(self, streams: Sequence[str]) -> list[tuple[str, str]]:
        """Return each stream with each of its subscriptions; those of a stream that cannot be read are left alone."""
        replies = await self._store.commands([("XINFO", "GROUPS", self._keys.events(stream)) for stream in streams])
        readable = [pair for pair in zip(streams, replies, strict=True) if not isinstance(pair[1], BaseException)]
        return [(stream, group.name) for stream, reply in readable for group in parse_groups(reply)]

    async def _repeat(self, calls: Mapping[What, scripts.Call], waits: dict[What, int] | None = None) -> Counter[What]:
        """Run scripts, in one round trip, again and again while they remove something; return how much each did.

        waits: takes the last reply below 0 of each.
        """
        removed: Counter[What] = Counter()
        while calls and not self._stopping.is_set():
            replies = await self._store.run(list(calls.values()))
            self._report_failed(list(calls.values()), replies)
            numbers = {
                what: 0 if isinstance(reply, BaseException) else int(reply)
                for what, reply in zip(calls, replies, strict=True)
            }
            if waits is not None:
                waits |= {what: number for what, number in numbers.items() if number < 0}
            removed.update({what: number for what, number in numbers.items() if number > 0})
            calls = {what: call for what, call in calls.items() if numbers[what] > 0}
        return +removed

    def _report_failed(self, calls: Sequence[scripts.Call], replies: Sequence[Any]) -> None:
        """Log one line for each error, not for each stream: a store that is away refuses all of them."""
        failed: dict[str, list[str]] = {}
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, BaseException):
                self._failed = True
                failed.setdefault(described(reply), []).append(call.keys[0])
        for error, keys in failed.items():
            log.warning("retention_refused", error=error, number=len(keys), keys=keys[:_NAMED])


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
