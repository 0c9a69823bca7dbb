"""What the store holds, as metrics: how full the streams are, and how far each subscription is with them.

Looked up when somebody scrapes, and then kept for a few seconds, so that an idle system stays quiet. Every worker and
the console tell the same figures, and any of them may be the last that runs: take the largest over all, never the sum.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from config.errors import described
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked
from router.tasks.ending import in_time
from router.tasks.outage import Reminder
from router.telemetry import logs
from workers.incidents import WATCHED, Incidents
from workers.operations.figures import Figures, figures
from workers.state.archive import ArchiveState, archive_state
from workers.state.companies import CompanyPause
from workers.state.key_counts import STATES, KeyCounts
from workers.state.limits import LimitState, limits
from workers.state.pauses import Pause
from workers.state.reconcile import CompanyState, reconciliations

_KEPT = 5.0
"""Seconds for which an answer is good enough."""
_PATIENCE = 2.5
"""Seconds that the store may take for it: who scrapes gives up after some, and then has nothing at all."""
_FIGURES = {
    "lag": "Lag: events that wait for a worker, in the stream or in the subscription's inbox.",
    "pending": "In hand: events that a worker holds.",
    "scheduled": "Scheduled: events that wait for their next attempt, or are deferred.",
    "dead": "Dead: events that the subscription gave up.",
}

_Found = tuple[Figures, Mapping[str, int], Sequence[LimitState], Sequence[CompanyState], ArchiveState, Counter[str]]
"""The figures, how much is quarantined by publisher, limits, how far sweeps and archive are, incidents by kind."""

_NOTHING: _Found = (Figures(0.0, (), ()), {}, (), (), ArchiveState(), Counter())

_log = logs.get("store")


class StoreMetrics(Collector):
    """The figures that the last `refresh` read; `lease` in seconds, `monotonic` in seconds."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        lease: float,
        registry: CollectorRegistry,
        monotonic: Callable[[], float] = time.monotonic,
        settings: Settings | None = None,
    ) -> None:
        self._store = store
        self._settings = settings or Settings()
        self._catalogue = catalogue
        self._lease = lease
        self._monotonic = monotonic
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._found: _Found | None = None
        self._reminder = Reminder(monotonic)
        registry.register(self)

    async def refresh(self) -> None:
        """Look at the store unless somebody just did; never raises: a store that is away is a figure, too."""
        async with self._looking:
            if self._monotonic() - self._looked_at < _KEPT:
                return
            self._found = await self._look()
            self._looked_at = self._monotonic()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what was found; nothing but `event_router_store_up` where the store did not answer."""
        yield _family(
            "store_up",
            "1 where the store answered all questions, 0 where it did not.",
            [],
            [(self._found is not None,)],
        )
        found, quarantined, shared, swept, archive, incidents = self._found or _NOTHING
        lengths = [(seen.stream, seen.length) for seen in found.streams]
        yield _family("stream_events", "Events that a stream holds, finished or not.", ["stream"], lengths)
        text = "Bodies in quarantine: signed, but not understood."
        yield _family("quarantine_entries", text, ["publisher"], quarantined.items())
        yield from _of_ways(found)
        text = "Workers of a subscription that gave a sign of life within the lease; none for another program's group."
        workers = [(row.name, len(row.workers)) for row in found.rows if row.is_of_workers]
        yield _family("subscription_workers", text, ["subscription"], workers)
        text = "Seconds for which a subscription has been paused; 0 where it is not."
        pauses = [(row.name, _lasting(row.pause)) for row in found.rows]
        yield _family("subscription_paused_seconds", text, ["subscription"], pauses)
        text = "Seconds for which companies of a keyed subscription have been paused, the longest; 0 where none is."
        companies = [
            (row.name, max(map(_lasting, row.companies.values()), default=0.0)) for row in found.rows if row.keys
        ]
        yield _family("subscription_company_paused_seconds", text, ["subscription"], companies)
        yield from _of_keys({row.name: row.keys for row in found.rows if row.keys is not None})
        text = "Quotas of a limit that were used within the last day."
        yield _family("limit_quotas", text, ["limit"], [(limit.name, len(limit.quotas)) for limit in shared])
        text = "Quotas of a limit that are used up, or refused by the other side: their calls wait."
        yield _family("limit_quotas_waiting", text, ["limit"], [(limit.name, limit.waiting) for limit in shared])
        yield from _of_sweeps(swept)
        text = "Seconds for which the oldest event should have been in the archive that is not; 0 where none is late."
        yield _family("archive_lag_seconds", text, [], [(archive.lag(time.time()),)] if self._found else [])
        text = "1 where a breaker is open: what handlers call is down, and their events wait. 0 where it is closed."
        opened = [(breaker.name, breaker.is_open) for breaker in found.breakers]
        yield _family("breaker_open", text, ["breaker"], opened)

        text = "Incidents that last, by kind: silence, requests refused, idle subscriptions and so on."
        yield _family("incidents", text, ["kind"], sorted(incidents.items()))

    async def _look(self) -> _Found | None:
        try:
            found = await in_time(_PATIENCE, self._ask())
        except Exception as error:  # noqa: BLE001 - whatever the store holds, the process has metrics of its own to tell
            if self._reminder.is_due():
                _log.warning("store_figures_missing", error=described(error))
            return None
        self._reminder.over()
        return found

    async def _ask(self) -> _Found:
        found = await figures(self._store, self._catalogue, self._lease)
        slugs = list(dict.fromkeys(seen.stream.partition("/")[0] for seen in found.streams))
        keys = [self._store.keys.quarantine(slug) for slug in slugs]
        lengths = checked(forgiven(await self._store.commands([("XLEN", key) for key in keys]), keys, 0))
        shared, swept = await limits(self._store), await reconciliations(self._store, self._settings)
        archive = await archive_state(self._store)
        kinds = Counter(one.kind for one in await Incidents(self._store).listed())
        kinds.update(dict.fromkeys(WATCHED, 0))
        return found, dict(zip(slugs, lengths, strict=True)), shared, swept, archive, kinds


def _lasting(pause: Pause | CompanyPause | None) -> float:
    return max(0.0, (datetime.now(UTC) - pause.since).total_seconds()) if pause and pause.since else 0.0


def _of_ways(found: Figures) -> Iterator[GaugeMetricFamily]:
    labels, ways = ["stream", "subscription"], [way for seen in found.streams for way in seen.subscriptions]
    for name, text in _FIGURES.items():
        rows = [(way.stream, way.name, getattr(way, name)) for way in ways]
        yield _family(f"subscription_{name}_events", text, labels, rows)
    text = (
        "Seconds since the oldest event that waits or is in hand came to its stream or inbox; 0 for none. With a key, "
        "of those whose key is ready or running; paused companies do not count."
    )
    oldest = [(way.stream, way.name, found.ready.get((way.stream, way.name), 0.0)) for way in ways]
    yield _family("subscription_oldest_seconds", text, labels, oldest)


def _of_keys(found: Mapping[str, KeyCounts]) -> Iterator[GaugeMetricFamily]:
    text = "Keys of a keyed subscription: ready for a worker, scheduled, quiet, running, or held for an operator."
    keys = [(name, state, getattr(counts, state)) for name, counts in found.items() for state in STATES]
    yield _family("subscription_keys", text, ["subscription", "state"], keys)
    text = (
        "Seconds since the oldest event came whose key is ready or running; 0 for none. Paused companies do not count."
    )
    oldest = [(name, counts.oldest or 0.0) for name, counts in found.items()]
    yield _family("subscription_keys_oldest_seconds", text, ["subscription"], oldest)


def _of_sweeps(companies: Sequence[CompanyState]) -> Iterator[GaugeMetricFamily]:
    held, failing = Counter[str](), Counter[str]()
    for each in companies:
        held[each.name] += each.swept.held
        failing[each.name] += each.swept.failures > 0
    text = "Records that seem to be gone, too many to believe: they wait for an operator."
    yield _family("reconcile_held_records", text, ["reconciliation"], held.items())
    text = "Companies of which the last sweep has failed."
    yield _family("reconcile_failing_companies", text, ["reconciliation"], failing.items())


def _family(name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> GaugeMetricFamily:
    """Return a metric; each row has the values of its labels, and its value."""
    family = GaugeMetricFamily(f"event_router_{name}", text, labels=labels)
    for *values, figure in rows:
        family.add_metric(values, figure)
    return family
