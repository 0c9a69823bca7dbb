"""One API for all that an operator sees or changes: of the command line, of the console, and of scripts."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypeVar

from config.errors import ConfigError, RouterError
from config.settings import Settings
from config.sources import load_settings
from router.embedded.access import open_store
from router.events.catalogue import Catalogue
from router.events.globs import select
from router.events.whose import Whose
from router.store.client import Store
from router.tasks.iterating import first
from workers.archive.archive import open_archive
from workers.archive.reading import Reading, Skipped
from workers.drift.seen import TypeSeen, schemas
from workers.incidents import Incident, Incidents, Muted
from workers.notify.state import NotifierState, read_states
from workers.operations import audit, muting, pauses
from workers.operations.archive.browser import ArchiveBrowser, ArchiveObject, Verified, stop_archiving
from workers.operations.archive.recall import Recall
from workers.operations.audit import AuditLine
from workers.operations.change import Change
from workers.operations.criteria import Ids
from workers.operations.dead_letters.changes import DeadLetterChange
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.letters import DeadLetters, ErrorGroup, grouped
from workers.operations.dead_letters.restore import Import, Lines
from workers.operations.dead_letters.selector import Selector
from workers.operations.erasing.erasure import Erasure
from workers.operations.erasing.walk import Walk
from workers.operations.events import Browser, EventFilter, StoredEvent
from workers.operations.figures import Figures, figures
from workers.operations.forwards import ForwardState, forwards
from workers.operations.handover import ALL, ONCE, Handover, ReplayOptions
from workers.operations.keys.changes import Release, Skip
from workers.operations.keys.line_keys import KeySelector, LineEvent, LineKey, LineKeys
from workers.operations.life import Life, life
from workers.operations.markers import markers_needed
from workers.operations.quarantine import Quarantine, QuarantineChange
from workers.operations.quarantined import Quarantined, QuarantineSelector
from workers.operations.removal import Removal
from workers.state.archive import ArchiveState, archive_state
from workers.state.breakers import BreakerState, breakers
from workers.state.companies import CompanyPause, keyed_ones, paused_companies
from workers.state.former import all_streams
from workers.state.groups import existing_groups, live_consumers
from workers.state.limits import LimitState, limits
from workers.state.pauses import Pause, paused
from workers.state.reconcile import CompanyState, reconciliations

if TYPE_CHECKING:  # it needs aiohttp, which other commands do without
    from workers.operations.sweeping import SweepNow, SweptNow

T = TypeVar("T")

_ALL_LETTERS, _ALL_EVENTS, _ALL_BODIES, _ALL_KEYS = Selector(), EventFilter(), QuarantineSelector(), KeySelector()


class NothingSelects(RouterError):
    """A purge takes something that selects: it never removes everything."""


class Operations:
    """What one store holds, and the changes that can be made to it.

    What lists is an asynchronous iterator. What changes returns a `Change`: preview it, and run it. Every method raises
    StoreUnavailable when the store is away; none logs a body, and `raw` holds personal data.
    """

    def __init__(self, store: Store, catalogue: Catalogue, settings: Settings) -> None:
        self.store = store
        self.catalogue = catalogue
        self.settings = settings
        self.letters = DeadLetters(store, catalogue)
        self.browser = Browser(store, catalogue)
        self.quarantine = Quarantine(store, catalogue)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings | None = None) -> AsyncIterator[Self]:
        """Open the store of the settings, by default those that the commands read; close it at the end.

        Raises ConfigError, and StoreUnavailable where the embedded server has no data.
        """
        settings = settings or load_settings()
        catalogue = Catalogue.for_settings(settings)
        async with open_store(settings, create=False) as store:
            yield cls(store, catalogue, settings)

    # Dead letters

    def dead_letters(self, selector: Selector = _ALL_LETTERS) -> AsyncIterator[DeadLetterEntry]:
        """List dead letters, newest first."""
        return self.letters.newest(selector)

    async def dead_letter(self, id_: str, selector: Selector = _ALL_LETTERS) -> DeadLetterEntry | None:
        """Return the newest dead letter of an event or an entry of this id."""
        return await _one(self.letters.newest(selector.narrowed(id_)))

    async def count_dead_letters(self, selector: Selector = _ALL_LETTERS) -> int:
        """Count dead letters."""
        return (await DeadLetterChange(self.store, self.catalogue, "replay", selector).preview(0)).number

    async def group_dead_letters(self, selector: Selector = _ALL_LETTERS) -> list[ErrorGroup]:
        """Count dead letters by what went wrong, the most frequent first."""
        return await grouped(self.letters.oldest(selector, await self.letters.freeze(selector)))

    def replay_dead_letters(
        self,
        selector: Selector = _ALL_LETTERS,
        *,
        where: Callable[[DeadLetterEntry], bool] | None = None,
        most: int | None = None,
        renormalise: bool = False,
    ) -> Change[DeadLetterEntry]:
        """Give events to the subscriptions that failed once more; `where`: only those for which it returns true.

        renormalise: the events are made again from the bytes as sent, by the catalogue of today.
        """
        return DeadLetterChange(
            self.store, self.catalogue, "replay", selector, where=where, most=most, renormalise=renormalise
        )

    def purge_dead_letters(
        self,
        selector: Selector,
        *,
        where: Callable[[DeadLetterEntry], bool] | None = None,
        most: int | None = None,
    ) -> Change[DeadLetterEntry]:
        """Remove dead letters for good; raises NothingSelects."""
        if selector.is_empty and where is None:
            raise NothingSelects("a purge of dead letters takes something that selects: it never removes everything")
        return DeadLetterChange(self.store, self.catalogue, "purge", selector, where=where, most=most)

    def import_dead_letters(self, lines: Lines, *, subject: str = "", again: bool = False) -> Import:
        """Put back the dead letters of an export; `again`: also those that came back before and are gone since."""
        return Import(self.store, self.catalogue, lines, subject=subject, again=again)

    # Events

    def events(self, glob: str = ALL, wanted: EventFilter = _ALL_EVENTS) -> AsyncIterator[StoredEvent]:
        """List events, newest first; raises UnknownStream for a glob that means none."""
        return self.browser.newest(select(self.catalogue, glob), wanted)

    async def event(self, id_: str) -> StoredEvent | None:
        """Return the newest event of an id, which may be shortened as a narrow table does it."""
        return await self.browser.find(id_)

    async def life(self, stored: StoredEvent) -> Life:
        """Return what became of an event, for each subscription."""
        return await life(self.store, stored)

    def replay_events(self, to: str, wanted: EventFilter, options: ReplayOptions = ONCE) -> Handover:
        """Give a subscription past events once more."""
        return Handover(self.store, self.catalogue, to, wanted, options)

    def recall_events(
        self,
        to: str,
        wanted: EventFilter,
        options: ReplayOptions = ONCE,
        *,
        skip: Callable[[Skipped], None] = lambda _: None,
        wait: Callable[[bool], None] = lambda _: None,
    ) -> Recall:
        """Give a subscription past events of the archive once more, else as `replay_events`.

        `skip` is called with what of the archive cannot be read, once each; `wait` with True when it begins to wait for
        the subscription, and with False when it goes on. Raises ConfigError where there is no archive.
        """
        reading = Reading(open_archive(self.settings.archive), skip)
        return Recall(reading, self.store, self.catalogue, to, wanted, options, wait)

    # The archive

    def archived(self, glob: str = ALL, wanted: EventFilter = _ALL_EVENTS) -> AsyncIterator[ArchiveObject]:
        """List the objects of the archive with events of that time, newest first; raises ConfigError without one."""
        return self._archived().objects(select(self.catalogue, glob), wanted)

    def archived_events(self, name: str, wanted: EventFilter = _ALL_EVENTS) -> AsyncIterator[StoredEvent]:
        """List the events of one object of the archive, oldest first; raises NoObject and Damaged."""
        return self._archived().events(name, wanted)

    async def verify_archive(
        self, glob: str = ALL, wanted: EventFilter = _ALL_EVENTS, *, progress: Callable[[int], None] = lambda _: None
    ) -> Verified:
        """Read all objects of the archive with events of that time, and return what is wrong with them."""
        return await self._archived().verify(select(self.catalogue, glob), wanted, progress)

    async def archive_state(self) -> ArchiveState:
        """Return how the last round of the archive ended."""
        return await archive_state(self.store)

    async def stop_archiving(self, *, actor: str = "", reason: str = "") -> int:
        """Forget how far streams are archived, so that they are trimmed without; return of how many it was known."""
        return await stop_archiving(self.store, self.catalogue, actor=actor, reason=reason)

    def _archived(self) -> ArchiveBrowser:
        return ArchiveBrowser(open_archive(self.settings.archive), self.browser)

    # The quarantine

    def quarantined(self, selector: QuarantineSelector = _ALL_BODIES) -> AsyncIterator[Quarantined]:
        """List what is quarantined, newest first."""
        return self.quarantine.newest(selector)

    async def quarantined_body(self, id_: str, *publishers: str) -> Quarantined | None:
        """Return the newest body, of these publishers or any, that has this id or whose entry has."""
        return await _one(self.quarantine.newest(QuarantineSelector(frozenset(publishers), ids=Ids.of([id_]))))

    def retry_quarantined(
        self,
        selector: QuarantineSelector = _ALL_BODIES,
        *,
        most: int | None = None,
    ) -> Change[Quarantined]:
        """Make events of bodies that can be read by now."""
        return QuarantineChange(self.store, self.catalogue, self.settings, "retry", selector, most=most)

    def purge_quarantined(self, selector: QuarantineSelector, *, most: int | None = None) -> Change[Quarantined]:
        """Remove bodies for good; raises NothingSelects."""
        if selector.is_empty:
            raise NothingSelects("a purge of the quarantine takes something that selects: it never removes everything")
        return QuarantineChange(self.store, self.catalogue, self.settings, "purge", selector, most=most)

    # The keys of keyed subscriptions

    def keys(self, subscription: str, selector: KeySelector = _ALL_KEYS) -> AsyncIterator[LineKey]:
        """List the keys that have events, or are held, of a keyed subscription; in order of their names."""
        return LineKeys(self.store, self.catalogue, subscription).select(selector)

    async def key(self, subscription: str, key: str, *, most: int = 1000) -> tuple[LineKey, list[LineEvent]] | None:
        """Return how a key is, and at most so many of its events, the first ones; None where there is nothing of it."""
        keys = LineKeys(self.store, self.catalogue, subscription)
        found = await keys.show(key.encode(errors="backslashreplace"))
        return None if found is None else (found, await keys.line(found.name, most))

    def release_keys(
        self, subscription: str, selector: KeySelector = _ALL_KEYS, *, most: int | None = None
    ) -> Change[LineKey]:
        """Let keys go on that are held."""
        return Release(self.store, self.catalogue, "keys release", subscription, selector, most=most)

    def skip_keys(self, subscription: str, selector: KeySelector, *, most: int | None = None) -> Change[LineKey]:
        """Make a dead letter of the first event of keys, and let them go on; raises NothingSelects."""
        if selector.is_empty:
            raise NothingSelects("a skip takes something that selects: it never skips the first event of all keys")
        return Skip(self.store, self.catalogue, "keys skip", subscription, selector, most=most)

    # Subscriptions

    async def figures(self) -> Figures:
        """Return how far every subscription is with each of its streams."""
        return await figures(self.store, self.catalogue, self.settings.workers.lease)

    async def subscriptions(self) -> list[str]:
        """Return the names of the subscriptions that exist, whether a worker runs for them or not."""
        groups = await existing_groups(self.store, await all_streams(self.store, self.catalogue))
        return sorted({group.name for found in groups.values() for group in found})

    async def without_worker(self, names: Iterable[str]) -> list[str]:
        """Return those of the subscriptions for which no worker has given a sign of life within the lease."""
        alive = await live_consumers(self.store, sorted(set(names)), self.settings.workers.lease)
        return [name for name, consumers in alive.items() if not consumers]

    async def paused(self, name: str) -> Pause | None:
        """Return the pause of a subscription; None where it is not paused."""
        return (await paused(self.store, [name])).get(name)

    async def pause(self, name: str, seconds: float | None = None, *, actor: str = "", reason: str = "") -> Pause:
        """Pause a subscription, for so long or until it is resumed."""
        return await pauses.pause(self.store, name, seconds, by=actor or audit.whoami(), reason=reason)

    async def resume(self, name: str, *, actor: str = "", reason: str = "") -> None:
        """End the pause of a subscription."""
        await pauses.resume(self.store, name, by=actor or audit.whoami(), reason=reason)

    async def pause_company(
        self, name: str, company: str, seconds: float | None = None, *, actor: str = "", reason: str = ""
    ) -> CompanyPause:
        """Have a keyed subscription handle nothing of a company, for so long or until it is resumed."""
        return await pauses.pause_company(self.store, name, company, seconds, by=actor or audit.whoami(), reason=reason)

    async def resume_company(self, name: str, company: str, *, actor: str = "", reason: str = "") -> bool:
        """End the pause of a company; return whether there was one."""
        return await pauses.resume_company(self.store, name, company, by=actor or audit.whoami(), reason=reason)

    async def paused_companies(self, names: Sequence[str]) -> dict[str, dict[str, CompanyPause]]:
        """Return the paused companies of keyed subscriptions, by their ids."""
        return await paused_companies(self.store, names)

    async def is_keyed(self, name: str) -> bool:
        """Return whether a worker has handled a subscription by keys."""
        return (await keyed_ones(self.store, [name])) == [name]

    def remove_subscription(
        self, name: str, *, events: Sequence[str] = (), former: bool = False, dead_letters: bool = False
    ) -> Removal:
        """Remove a subscription that no worker runs any more, with all that it had still to do."""
        given = (self.store, self.catalogue, self.settings, name)
        return Removal(*given, events=events, former=former, dead_letters=dead_letters)

    async def markers_needed(self, days: float = 30) -> dict[str, datetime]:
        """Return for each subscription from when on the markers of `once` are needed; `once.sweep` takes that.

        days: they are kept for so long at least. What may be delivered once more keeps its markers, however old it is.
        """
        now = datetime.now(UTC)
        return await markers_needed(self.store, self.catalogue, self.settings, days=days, now=now)

    async def limits(self) -> list[LimitState]:
        """Return how the quotas stand that workers share, in order of the limits' names."""
        return await limits(self.store)

    async def breakers(self) -> tuple[BreakerState, ...]:
        """Return which targets of handlers are down, and which are not, in order of name."""
        return await breakers(self.store)

    async def forwards(self) -> list[ForwardState]:
        """Return where each forward goes, whether it runs, and how its last exchange ended, in order of name."""
        return await forwards(self.store, self.catalogue, self.settings)

    async def schemas(self) -> list[TypeSeen]:
        """Return which fields the notifications of each type have, as far as that was learnt."""
        return await schemas(self.store, self.settings.drift)

    async def reconciliations(self) -> list[CompanyState]:
        """Return how far the sweeps of each company are, in the order of the settings."""
        return await reconciliations(self.store, self.settings)

    async def sweep(self, name: str, wanted: "SweepNow") -> "list[SweptNow]":
        """Sweep companies of a reconciliation now; return what became of each. Raises ConfigError."""
        return await wanted.run(self.store, self.catalogue, self.settings, name)

    async def notifiers(self) -> list[NotifierState]:
        """Return how the notifiers of the settings fare, in their order."""
        return await read_states(self.store, self.settings.notify)

    # Incidents

    async def incidents(self) -> list[Incident]:
        """Return the incidents that last, those that began first in front."""
        return await Incidents(self.store).listed()

    async def notices(self, most: int = 100) -> list[Incident]:
        """Return what was said of incidents, the newest first: each as it began, and as it was over."""
        return await Incidents(self.store).notices(most)

    async def muted(self) -> list[Muted]:
        """Return what is muted."""
        return await Incidents(self.store).muted()

    async def mute(
        self, kind: str, subject: str, seconds: float | None = None, *, actor: str = "", reason: str = ""
    ) -> datetime | None:
        """Open no incident of a kind about a subject, for so long or until it is unmuted; return the end."""
        return await muting.mute(self.store, kind, subject, seconds, by=actor or audit.whoami(), reason=reason)

    async def unmute(self, kind: str, subject: str, *, actor: str = "", reason: str = "") -> bool:
        """Have incidents of a kind about a subject said again; return whether they were muted."""
        return await muting.unmute(self.store, kind, subject, by=actor or audit.whoami(), reason=reason)

    # All of a company or a tenant

    def check_publisher(self, slug: str | None) -> None:
        """Raise ConfigError for an unknown publisher; None stands for all."""
        if slug is not None and slug not in self.catalogue.publishers:
            raise ConfigError(self.catalogue.no_publisher(slug))

    def erase(self, whose: Whose) -> Erasure:
        """Erase everything that is stored of a company or a tenant; raises NobodyNamed."""
        return Erasure(self.store, self.catalogue, self.settings, whose)

    async def stored_of(self, whose: Whose) -> Walk:
        """Return what finds everything that is stored of a company or a tenant: by its `found`, with where it is."""
        return await Walk.over(self.store, self.catalogue, self.settings, whose)

    # The audit

    def audit(
        self,
        *,
        verb: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[AuditLine]:
        """List who changed what, newest first: of verbs that fit a glob, of actors whose name has this part."""
        return audit.lines(self.store, verb=verb, actor=actor, since=since, until=until)


async def _one(items: AsyncIterator[T]) -> T | None:
    async for item in first(items, 1):
        return item
    return None
