"""Traffic in virtual time: ingresses that note what comes, and workers that watch, by a clock that tests set."""

from collections.abc import Mapping
from random import Random
from typing import Any

from config.publishers import Publisher
from config.settings import Settings
from config.silence import SilenceSettings
from router.events.catalogue import Catalogue
from router.ingress.traffic import Traffic, TrafficNotes
from router.store.client import Store
from workers.incidents import Incident, Incidents
from workers.silence.watcher import Watcher

__all__ = ["MONDAY", "SilenceBench", "small"]

MONDAY = 1_768_176_000.0
"""Epoch seconds: the beginning of Monday, 12 January 2026, UTC."""


def small(catalogue: Catalogue) -> Catalogue:
    """Return a catalogue with the publishers of another, and one event of each: rounds over all take long."""
    return Catalogue.of([_small(one) for one in catalogue.publishers.values()])


def _small(publisher: Publisher) -> Publisher:
    events = [one for one in publisher.events if one.type == "customer_changed"] or publisher.events[:1]
    return publisher.model_copy(update={"events": tuple(events)})


STEP = 600.0
"""Seconds between two looks, unless a test says otherwise."""


class SilenceBench:
    """One ingress, and as many watchers as are made; `now` in epoch seconds."""

    def __init__(self, store: Store, catalogue: Catalogue, now: float = MONDAY) -> None:
        self.store = store
        self.catalogue = small(catalogue)
        self.now = self.uptime = now
        self.traffic = Traffic()
        self.ready: set[str] = set()
        given = {"clock": lambda: self.now, "ready": lambda: self.ready}
        self.notes = TrafficNotes(self.traffic, store, "ingress-1", every=STEP, **given)
        self.incidents = Incidents(store, lambda: self.now)

    def restarted(self) -> TrafficNotes:
        """Return the notes of an ingress that begins to listen now."""
        return TrafficNotes(self.traffic, self.store, "ingress-2", every=STEP, clock=lambda: self.now)

    def watcher(self, **silence: Any) -> Watcher:
        """Return a worker that watches, by these settings."""
        settings = Settings(silence=SilenceSettings(**silence))
        clocks = {"clock": lambda: self.now, "monotonic": lambda: self.uptime}
        return Watcher(self.store, self.catalogue, settings, **clocks, random=Random(1))

    def came(self, subject: str, events: int = 1) -> None:
        """Have events of a publisher, or of one of its companies, come now."""
        publisher, _, company = subject.partition("/")
        self.traffic.came(publisher, [company] * events, [True] * events, int(self.now * 1000))

    def refused(self, publisher: str, reason: str = "signature") -> None:
        """Have a request be refused now."""
        self.traffic.refused(publisher, reason, int(self.now * 1000))

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.uptime += seconds

    async def pass_time(
        self, seconds: float, *watchers: Watcher, every: float = STEP, sends: Mapping[str, float] | None = None
    ) -> None:
        """Let time pass, while the ingress notes and the watchers look; `sends`: after how many seconds subjects do."""
        end, next_ = self.now + seconds, {subject: self.now + gap for subject, gap in (sends or {}).items()}
        while self.now < end:
            self.sleep(min(every, end - self.now))
            for subject, gap in (sends or {}).items():
                if self.now >= next_[subject]:
                    self.came(subject)
                    next_[subject] = self.now + gap
            await self.notes.note()
            for watcher in watchers:
                await watcher.look()

    async def named(self) -> list[tuple[str, str]]:
        """Return kinds and subjects of the incidents that last."""
        return [(one.kind, one.subject) for one in await self.incidents.listed()]

    async def said(self) -> list[tuple[str, str, bool]]:
        """Return the notices as they were said: kind, subject, and whether it is over."""
        return [(one.kind, one.subject, one.over is not None) for one in reversed(await self.notices())]

    async def notices(self) -> list[Incident]:
        """Return the notices, the newest first."""
        return await self.incidents.notices(1000)
