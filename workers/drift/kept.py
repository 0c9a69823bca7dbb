"""What is kept of one type: its schema, how far it was read, and what was reported of it lately."""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from workers.drift.schema import Change, Schema

__all__ = ["Kept", "Report", "read_kept"]

MOST: Final = 20
"""Reports that are kept of a type, the newest."""


@dataclass(slots=True)
class Report:
    """A change of a field as it was found; times in epoch milliseconds.

    event_id: of the notification that it was found with. sample: that notification, its values masked. over: when it
    ended; None while it lasts.
    """

    kind: str
    path: str
    at: int
    type: str = ""
    was: tuple[str, ...] = ()
    event_id: str = ""
    sample: str = ""
    over: int | None = None

    @classmethod
    def of(cls, change: Change, at: int, event_id: str, sample: str) -> "Report":
        """Return the report of a change."""
        return cls(change.kind, change.path, at, change.type, change.was, event_id, sample)

    @property
    def what(self) -> str:
        """What changed, in words."""
        if self.kind == "new":
            return f"has a new field {self.path} ({self.type})"
        if self.kind == "changed":
            return f"has {self.type} in the field {self.path}, which had {' or '.join(self.was) or 'no value'}"
        return f"has no value in the field {self.path} ({' or '.join(self.was) or 'of no type'}) any more"


@dataclass(slots=True)
class Kept:
    """`last` is the entry of the stream that was read last, and `at` when that was, epoch milliseconds."""

    last: str = "0-0"
    at: int = 0
    schema: Schema = field(default_factory=Schema)
    reports: list[Report] = field(default_factory=list)

    @property
    def lasting(self) -> list[Report]:
        """The reports that last."""
        return [report for report in self.reports if report.over is None]

    def add(self, report: Report) -> list[Report]:
        """Add a report; return those that last and are not kept any more."""
        self.reports.append(report)
        gone, self.reports = self.reports[:-MOST], self.reports[-MOST:]
        return [each for each in gone if each.over is None]


def read_kept(text: bytes) -> Kept | None:
    """Return what was written down; None for what another version, or somebody else, wrote there."""
    try:
        kept = msgspec.json.decode(text, type=Kept)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return kept if len(kept.schema.groups) == len(Schema().groups) else None
