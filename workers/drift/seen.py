"""The fields of each type as they were learnt, for those who look."""

from dataclasses import dataclass

from config.settings import DriftSettings
from router.store.client import Store
from workers.drift.kept import Kept, Report
from workers.drift.notebook import read_all
from workers.drift.shape import NULL

__all__ = ["FieldSeen", "TypeSeen", "schemas"]


@dataclass(frozen=True, slots=True)
class FieldSeen:
    """A field: its path, the types of its values, and its share of all notifications since it was first seen.

    state: `known`, `missing`, `learning` while too little of the type was seen to say, or `rare` where it came since
    the type was learnt and too seldom to be reported.
    """

    path: str
    types: tuple[str, ...]
    share: float
    state: str


@dataclass(frozen=True, slots=True)
class TypeSeen:
    """What is known of the fields of one stream's type, of so many events; `left_out` counts fields without room.

    reports: the last changes, oldest first.
    """

    stream: str
    events: int
    is_learnt: bool
    fields: tuple[FieldSeen, ...]
    left_out: int
    reports: tuple[Report, ...]

    @property
    def lasting(self) -> tuple[Report, ...]:
        """The changes that last."""
        return tuple(report for report in self.reports if report.over is None)


async def schemas(store: Store, settings: DriftSettings) -> list[TypeSeen]:
    """Return what is known of each type, in order of the streams; raises StoreUnavailable."""
    return [_type(stream, kept, settings) for stream, kept in (await read_all(store)).items()]


def _type(stream: str, kept: Kept, settings: DriftSettings) -> TypeSeen:
    schema = kept.schema
    learnt = schema.is_learnt(settings)
    fields = tuple(_field(kept, path, learnt=learnt) for path in sorted(schema.fields, key=str.casefold))
    return TypeSeen(stream, schema.events, learnt, fields, schema.left_out, tuple(kept.reports))


def _field(kept: Kept, path: str, *, learnt: bool) -> FieldSeen:
    known = kept.schema.fields[path]
    types = tuple(name for name in known.types if name != NULL) or (NULL,)
    state = "missing" if known.missing else "known" if known.known else "rare" if learnt else "learning"
    return FieldSeen(path, types, kept.schema.share(path), state)
