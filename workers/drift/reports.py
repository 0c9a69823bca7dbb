"""Saying what has changed of the fields of all types, once, and when that is over."""

from collections.abc import Callable, Iterable
from typing import Final

from router.telemetry import logs
from workers.drift.kept import Kept, Report
from workers.drift.metrics import DriftMetrics
from workers.drift.sample import Sample
from workers.drift.schema import Change
from workers.drift.shape import masked
from workers.incidents import DRIFT, Incident, Incidents

__all__ = ["Reports"]

_DAY: Final = 86_400_000
_LASTS: Final = {"new": _DAY, "changed": _DAY, "missing": 7 * _DAY}
"""Milliseconds after which a change belongs to the type."""
_DO: Final = "Ask the sender whether this is on purpose, and look whether your handlers rely on the field."

_log = logs.get("drift")


class Reports:
    """The reports in what is `kept` of each stream, and their incidents; `clock` in epoch seconds.

    Every method raises StoreUnavailable.
    """

    def __init__(
        self, kept: dict[str, Kept], incidents: Incidents, metrics: DriftMetrics, clock: Callable[[], float]
    ) -> None:
        self.kept = kept
        self._incidents = incidents
        self._metrics = metrics
        self._clock = clock

    async def add(self, stream: str, changes: Iterable[Change], sample: Sample) -> None:
        """Report changes that a sample has shown, in place of what is reported of the same fields."""
        kept = self.kept[stream]
        for change in changes:
            await self._end(stream, [one for one in kept.lasting if one.path == change.path])
            if change.kind == "back":
                continue
            report = Report.of(change, sample.at, sample.id, masked(sample.raw))
            self._metrics.changes.labels(change.kind).inc()
            _log.warning("schema_changed", stream=stream, what=report.what, event_id=report.event_id)
            gone = kept.add(report)
            await self._incidents.open(self._incident(stream, report))
            await self._end(stream, gone)

    async def end_old(self) -> set[str]:
        """End what has lasted long enough to belong to the type; return the streams of that."""
        now, changed = self._now(), set[str]()
        for stream, kept in self.kept.items():
            old = [report for report in kept.lasting if now - report.at > _LASTS.get(report.kind, _DAY)]
            for report in old:
                if report.kind == "missing":
                    kept.schema.forget(report.path)
            if old:
                await self._end(stream, old)
                changed.add(stream)
        return changed

    async def _end(self, stream: str, reports: Iterable[Report]) -> None:
        """End reports, and their incidents where the same lasts for no other type of the publisher."""
        for report in reports:
            report.over = self._now()
            if not self._lasting(stream, report):
                await self._incidents.end(DRIFT, _subject(stream, report))

    def _lasting(self, stream: str, report: Report) -> list[str]:
        """Return the streams of the publisher of which the same is reported, and lasts."""
        subject = _subject(stream, report)
        return [name for name, one in self.kept.items() if any(_subject(name, each) == subject for each in one.lasting)]

    def _incident(self, stream: str, report: Report) -> Incident:
        """Return the incident of a change: one for all types of the publisher, as where a field is added to each."""
        others = len(set(self._lasting(stream, report)) - {stream})
        more = f"; the same goes for {others} more of its types" if others else ""
        publisher = stream.partition("/")[0]
        command = f"event-router schema list {publisher}/*" if others else f"event-router schema show {stream}"
        what = f"{stream} {report.what}{more}."
        return Incident(DRIFT, _subject(stream, report), report.at, what, _DO, command)

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _subject(stream: str, report: Report) -> str:
    """Return what an incident is about: a field of a publisher, since senders change it in many types at once."""
    return f"{stream.partition('/')[0]} {report.kind} {report.path}"
