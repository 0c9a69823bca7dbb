"""The ledger: what is known of the traffic of all subjects, hour after hour, and which of them are silent."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import sqrt
from typing import Final

from config.silence import LEARNT, SilenceSettings
from router.store.watched.traffic import HOUR, MOST, SLOT, SLOTS, Hour
from workers.silence.profile import Profile
from workers.silence.week import Week

__all__ = ["Ledger", "Silence"]

_LEAST_OF_MANY: Final = 2.0
"""The same of a publisher of many companies: they do not all take a day off at once."""
_DUE: Final = 0.5
_FORGOTTEN: Final = 400 * 24
"""Hours after which a company is forgotten of which nothing came."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A subject of which nothing came since `last` (epoch milliseconds), which is too long.

    after: the seconds set for it; None where that is learnt. never: nothing has come of it so far, and `last` is since
    when it is waited for.
    """

    subject: str
    last: int
    after: float | None
    never: bool = False


class Ledger:
    """The profiles of the subjects; `folded` is the first hour that was not taken note of yet, since 1970."""

    def __init__(self, settings: SilenceSettings, folded: int) -> None:
        self._settings = settings
        self._week = Week(settings.zone, settings.holidays)
        self.folded = folded
        self.profiles: dict[str, Profile] = {}
        self.changed: set[str] = set()
        self._known: dict[str, float] = {}
        self._floors: dict[str, float] = {}
        self._gone: list[str] = []
        self._day = 0
        self._counts = True

    def fold(self, hour: Hour) -> None:
        """Take note of the hour `folded`, which is over."""
        for subject in hour.came:
            if self._is_awaited(subject) or (subject not in self.profiles and self._has_room(subject)):
                self.profiles[subject] = Profile(self.folded)
        listened = max(hour.listened, 1 / SLOTS if hour.came else 0.0)
        if listened:
            if self._counts:
                self._count(hour, listened)
            cell = self._week.cell(self.folded)
            for subject, profile in self.profiles.items():
                usual, floor = self._terms(subject, profile)
                profile.fold(self.folded, cell, hour.came.get(subject), listened, usual, floor)
            self.changed.update(self.profiles)
        self.folded += 1

    def expect(self, now: int, hour: Hour) -> None:
        """Wait, from now on, for publishers that may send, and for their companies that have a time of their own.

        now: epoch ms. hour: the hour `folded`, so far. Without a time set nobody knows when something should have come.
        """
        may_send = {*hour.ready, *(name for name in self._settings.own if _publisher(name) in hour.ready)}
        wanted = {subject for subject in may_send if not isinstance(self._settings.after_for(subject), str)}
        for subject in wanted - self.profiles.keys() - hour.came.keys():
            self.profiles[subject] = Profile(self.folded, now, quiet=-3600 * hour.listened)
            self.changed.add(subject)
        if hour.listened:
            for subject in [name for name in self.profiles if self._is_awaited(name) and name not in wanted]:
                del self.profiles[subject]
                self._gone.append(subject)

    def skip(self, hour: int) -> None:
        """Go on with an hour, without those between: nothing is known of them."""
        self.folded = hour

    def quiet(self, subject: str) -> "Ledger":
        """Return a ledger in which all goes on as usual except that nothing more comes of a subject."""
        alone = Ledger(self._settings, self.folded)
        names = {subject, _publisher(subject)} & self.profiles.keys()
        alone.profiles = {name: deepcopy(self.profiles[name]) for name in names}
        alone._known, alone._counts = dict(self._known), False
        return alone

    def silences(self, now: int, hour: Hour) -> Iterator[Silence]:
        """Yield what is silent at a time, epoch milliseconds, in the hour `folded`, of which that is known so far."""
        for subject in {**self.profiles, **hour.came}:
            after = self._settings.after_for(subject)
            if after == LEARNT and subject not in hour.came and self._is_silent(subject, hour):
                profile = self.profiles[subject]
                yield Silence(subject, min(profile.last, now), None)
            elif not isinstance(after, str):
                last, quiet = self._quiet(subject, hour)
                # Listening is known to five minutes. An event of the future came while the clock was ahead.
                if quiet >= after and not 0 <= now - last < after * 1000:
                    never = self._is_awaited(subject) and subject not in hour.came
                    yield Silence(subject, min(last, now), after, never)

    def _is_silent(self, subject: str, hour: Hour) -> bool:
        profile, cell = self.profiles[subject], self._week.cell(self.folded)
        usual, floor = self._terms(subject, profile)
        return profile.is_silent(profile.gap + profile.share(cell) * hour.listened * usual, self.folded, floor)

    def _quiet(self, subject: str, hour: Hour) -> tuple[int, float]:
        """Return when the last event came (epoch ms), and the seconds since then in which an ingress listened."""
        if (came := hour.came.get(subject)) is None:
            profile = self.profiles[subject]
            return profile.last, profile.quiet + 3600 * hour.listened
        first = max(0, came.last // SLOT - self.folded * SLOTS)
        return came.last, hour.slots[first:].count("1") * SLOT / 1000

    def is_due(self, subject: str) -> bool:
        """Return whether something should have come from a subject since the last event; of one not known it may be."""
        profile = self.profiles.get(subject)
        return profile is None or not profile.is_known(self.folded) or profile.gap >= _DUE

    def forget(self) -> list[str]:
        """Remove companies of which nothing came for a year; return them, and who is not waited for any more."""
        old = [name for name, profile in self.profiles.items() if self.folded - profile.last // HOUR > _FORGOTTEN]
        for name in old:
            del self.profiles[name]
        gone, self._gone = [name for name in self._gone if name not in self.profiles], []
        return [*old, *gone]

    def _is_awaited(self, subject: str) -> bool:
        """Return whether something is waited for from a subject from which nothing ever came."""
        return subject in self.profiles and not self.profiles[subject].gaps

    def _has_room(self, subject: str) -> bool:
        return "/" not in subject or len(self.profiles) < MOST

    def _count(self, hour: Hour, listened: float) -> None:
        """Take note of how many companies of each publisher should have sent, and did, of those that are not silent."""
        cell = self._week.cell(self.folded)
        counts: dict[str, list[float]] = {}
        for subject, profile in self.profiles.items():
            publisher = _publisher(subject)
            row = counts.setdefault(publisher, [0.0, 0.0, 0.0])
            if publisher != subject and profile.is_known(self.folded):
                row[2] += 1
                if not profile.is_silent(profile.gap, self.folded, self._terms(subject, profile)[1]):
                    row[0] += profile.share(cell) * listened
                    row[1] += subject in hour.came
        for publisher, (expected, seen, known) in counts.items():
            self._known[publisher] = known
            if publisher in self.profiles:
                self.profiles[publisher].count(expected, seen, known)

    def _terms(self, subject: str, profile: Profile) -> tuple[float, float]:
        """Return how usual the traffic of its publisher is, and the shortest gap that is a silence of it."""
        publisher = _publisher(subject)
        floor = self._floor(subject, profile)
        if publisher == subject:
            return 1.0, max(_LEAST_OF_MANY, floor / sqrt(max(1.0, self._known.get(publisher, 0.0))))
        whole = self.profiles.get(publisher)
        return whole.usual() if whole else 1.0, floor

    def _floor(self, subject: str, profile: Profile) -> float:
        if self.folded // 24 != self._day:
            self._day = self.folded // 24
            self._floors = {}
        if subject not in self._floors:
            self._floors[subject] = profile.floor()
        return self._floors[subject]


def _publisher(subject: str) -> str:
    return subject.partition("/")[0]
