"""The watcher: one worker of all looks each minute, by a lease, and says what begins and what is over.

What it knows is in the store, so that another goes on where it ended; that an incident is said once is the affair of
`workers.incidents`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final, Self

from config.errors import described
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.store.leases import Lease, LeaseLost, Taken
from router.store.watched.traffic import HOUR, SLOT, SLOTS, Hour, hours
from router.tasks.ending import end, set_within
from router.tasks.outage import Reminder
from router.telemetry import logs
from workers.incidents import WATCHED, Incident, Incidents
from workers.silence import texts
from workers.silence.checks import Checks
from workers.silence.damper import Damper
from workers.silence.ledger import Ledger
from workers.silence.notebook import Kept, Notebook

__all__ = ["Watcher"]

_SETTLING: Final = 2.5
"""Rounds after the start, or after an outage, before anything is judged: ingresses must have noted what they hold."""
_LATE: Final = 180_000
"""Milliseconds after the end of an hour until all ingresses have noted it."""
_AT_ONCE: Final = 24
_BEHIND: Final = 71
"""Hours of which the store still has the notes."""
_AWAY: Final = 2 * SLOT
"""Milliseconds without a note after which no ingress listens."""

_log = logs.get("silence")


class Watcher:
    """Looks as long as the context is open; `clock` in epoch seconds, `monotonic` in seconds."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock, self._monotonic = clock, monotonic
        self._random = random or Random()  # noqa: S311 - jitter
        self._wanted = settings
        self._news = asyncio.Event()
        self._take_over()
        self._incidents = Incidents(store, clock)
        self._reminder = Reminder(monotonic)
        self._task: asyncio.Task[None] | None = None
        self._ledger: Ledger | None = None
        self._settled_at: float | None = None
        self._leave()

    def want(self, settings: Settings) -> None:
        """Have the watcher look by these settings, from its next look on, which is soon."""
        self._wanted = settings
        if settings.silence != self._settings.silence:
            self._news.set()

    async def __aenter__(self) -> Self:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run(), name="silence")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End at once, and let another worker go on."""
        if self._task is not None:
            await end([self._task])
        await self._lease.give_up()  # it may have it, too, where its last look failed

    @property
    def is_watching(self) -> bool:
        """Whether this worker has the lease, as far as it knows."""
        return self._ledger is not None

    async def look(self) -> None:
        """Look once, if this worker has the lease; never raises."""
        try:
            if self._news.is_set():
                await self._change()
            taken = await self._lease.take()
            if taken is not Taken.STILL:  # what is known may have changed, or been erased, since it was written down
                self._leave()
            if taken:
                await self._round()
            self._reminder.over()
        except LeaseLost:
            self._leave()
        except STORE_ERRORS as error:
            self._settled_at = None
            if self._reminder.is_due():
                _log.warning("watch_put_off", error=described(error))
        except Exception:  # noqa: BLE001 - events are handled, whether anybody watches or not
            self._leave()
            _log.exception("watch_broken")

    async def _run(self) -> None:
        await set_within(self._random.uniform(0, min(5.0, self._settings.silence.every)), self._news)
        while True:
            await self.look()
            await set_within(self._settings.silence.every * self._random.uniform(1.0, 1.05), self._news)

    async def _change(self) -> None:
        """Go on by other settings; what is known is in the store."""
        self._news.clear()
        await self._lease.give_up()  # it lasts as long as the settings say
        self._take_over()
        self._leave()
        _log.info("watch_changed")

    def _take_over(self) -> None:
        self._settings = settings = self._wanted
        self._lease = Lease(self._store, self._store.keys.watching(), 3 * settings.silence.every)
        self._notebook = Notebook(self._store, self._lease, settings.silence)
        self._make_checks = partial(Checks, self._store, self._catalogue, settings, self._clock)

    def _leave(self) -> None:
        """Forget what belongs to the lease."""
        self._ledger = None
        self._kept = Kept(0)
        self._checks = self._make_checks()
        self._damper = Damper(self._monotonic)
        self._settled_at = None
        self._latest: dict[str, int] = {}
        self._came = (0, 0)

    async def _round(self) -> None:
        now = int(self._clock() * 1000)
        if self._ledger is None:
            self._ledger, self._kept = await self._notebook.read((now - _LATE) // HOUR)
        if self._settled_at is None:
            self._settled_at = self._monotonic() + _SETTLING * self._settings.silence.every
        if self._monotonic() < self._settled_at:
            return
        await self._fold(self._ledger, now)
        listed = await self._incidents.listed()
        last = [one for one in listed if one.kind in WATCHED]
        found = [*await self._silent(self._ledger, now, last), *await self._checks.found(self._kept, last, self._came)]
        for incident in self._damper.lasting(found):
            await self._incidents.open(incident)
        for incident in self._damper.over(last):
            await self._incidents.end(incident.kind, incident.subject, over=self._over(incident, now))
        for incident in await self._checks.ownerless(listed):
            await self._incidents.end(incident.kind, incident.subject)
        await self._notebook.write(self._ledger, self._kept)

    async def _fold(self, ledger: Ledger, now: int) -> None:
        """Take note of the hours that are over."""
        until = (now - _LATE) // HOUR
        if ledger.folded > until + 1 or ledger.folded < until - _BEHIND:  # a clock was set, or nobody watched for days
            ledger.skip(max(until - _BEHIND, min(until, ledger.folded)))
        while ledger.folded < until:
            for hour in await hours(self._store, range(ledger.folded, min(until, ledger.folded + _AT_ONCE))):
                self._heard(ledger.folded, hour)
                ledger.fold(hour)

    async def _silent(self, ledger: Ledger, now: int, last: Sequence[Incident]) -> list[Incident]:
        """Return who is silent, or refused; of a publisher that is, its companies are not named, too."""
        first = ledger.folded
        open_hours = await hours(self._store, range(first, now // HOUR + 1))
        for place, hour in enumerate(open_hours):
            self._heard(first + place, hour)
        together = _together(open_hours)
        ledger.expect(now, together)
        self._came = (first, sum(one.events for one in together.came.values()))
        self._latest = {subject: one.last for subject, one in together.came.items()}
        named = {one.subject for one in last if one.kind == "silence"}
        said = {one.subject for one in last if one.kind == "refused"}
        # Where nothing is due, as at night, what is refused may be anybody's.
        all_refused = await self._checks.refused()
        refused = {name: one for name, one in all_refused.items() if name in said or ledger.is_due(name)}
        found = {one.subject: texts.silence(one) for one in ledger.silences(now, together)}
        whole = refused.keys() | {subject for subject in found if "/" not in subject}
        kept = [
            one
            for subject, one in found.items()
            if subject in named or (subject not in refused and (subject in whole or _publisher(subject) not in whole))
        ]
        heard = self._kept.listened
        away = [texts.away(heard)] if heard and now - heard > _AWAY + SLOT else []
        return [*kept, *refused.values(), *away]

    def _heard(self, number: int, hour: Hour) -> None:
        """Take note of when an ingress was last known to listen: at the end of the last five minutes noted."""
        place = hour.slots.rfind("1")
        if place >= 0:
            self._kept.listened = max(self._kept.listened, (number * SLOTS + place) * SLOT)

    def _over(self, incident: Incident, now: int) -> int:
        """Return when an incident ended: a silence with the event that came."""
        profile = self._ledger.profiles.get(incident.subject) if self._ledger else None
        came = self._latest.get(incident.subject, profile.last if profile else 0)
        return min(now, came) if incident.kind == "silence" and came > incident.since else now


def _together(found: Sequence[Hour]) -> Hour:
    """Return what came in hours that are not taken note of yet as if they were one."""
    came = {subject: one for hour in found for subject, one in hour.came.items()}
    return Hour(came, "".join(hour.slots for hour in found), frozenset().union(*(hour.ready for hour in found)))


def _publisher(subject: str) -> str:
    return subject.partition("/")[0]
