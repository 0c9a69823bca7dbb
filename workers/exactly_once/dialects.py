"""The SQL of the markers: their table, and what is asked of it, in Postgres and in SQLite.

A question is a generator: it yields a statement with its parameters, and gets the rows. So it is written once for
drivers that wait and for those that do not. Parameters are `$1`, `$2`, …, each once and in this order.
"""

from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from workers.exactly_once.marks import Mark

__all__ = ["POSTGRES", "SQLITE", "Dialect", "Question", "Rows"]

T = TypeVar("T")

Rows = Sequence[tuple[Any, ...]]
Question = Generator[tuple[str, tuple[Any, ...]], Rows, T]

_LOCK = 0x6576726F  # a number for this table alone: two workers that make it at once would get in each other's way


class Dialect(Protocol):
    """How one kind of database is asked."""

    @property
    def ddl(self) -> Sequence[str]:
        """The statements that make the table, where it is not there."""

    def create(self) -> Question[None]:
        """Make the table, where it is not there."""

    def insert(self, subscription: str, marks: Sequence[Mark]) -> Question[tuple[Mark, ...]]:
        """Write markers; return those that were not there. Waits for who writes the same at this moment."""

    def count(self, subscription: str, marks: Sequence[Mark]) -> Question[int]:
        """Return how many of these markers are there."""

    def sweep(self, ends: Mapping[str, datetime]) -> Question[int]:
        """Remove the markers of subscriptions that are older than the moment of each; return how many there were."""


class _Postgres:
    ddl = (
        """CREATE TABLE IF NOT EXISTS event_router_once (
    subscription text NOT NULL,
    stream text NOT NULL,
    event_id text NOT NULL,
    generation text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscription, stream, event_id, generation)
)""",
        "CREATE INDEX IF NOT EXISTS event_router_once_at ON event_router_once (subscription, at)",
    )

    def create(self) -> Question[None]:
        yield "SELECT pg_advisory_xact_lock($1)", (_LOCK,)
        for statement in self.ddl:
            yield statement, ()

    def insert(self, subscription: str, marks: Sequence[Mark]) -> Question[tuple[Mark, ...]]:
        streams, ids, generations = (list(column) for column in zip(*marks, strict=True))
        statement = (
            "INSERT INTO event_router_once (subscription, stream, event_id, generation)"
            " SELECT $1::text, * FROM unnest($2::text[], $3::text[], $4::text[])"
            " ON CONFLICT DO NOTHING RETURNING stream, event_id, generation"
        )
        rows = yield statement, (subscription, streams, ids, generations)
        return tuple(sorted(Mark(*row) for row in rows))

    def count(self, subscription: str, marks: Sequence[Mark]) -> Question[int]:
        streams, ids, generations = (list(column) for column in zip(*marks, strict=True))
        statement = (
            "SELECT count(*) FROM event_router_once WHERE subscription = $1::text AND (stream, event_id, generation)"
            " IN (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]))"
        )
        ((number,),) = yield statement, (subscription, streams, ids, generations)
        return int(number)

    def sweep(self, ends: Mapping[str, datetime]) -> Question[int]:
        removed = 0
        for subscription, end in ends.items():
            statement = (
                "WITH gone AS (DELETE FROM event_router_once WHERE subscription = $1::text AND at < $2::timestamptz"
                " RETURNING 1) SELECT count(*) FROM gone"
            )
            ((number,),) = yield statement, (subscription, end)
            removed += number
        return removed


class _SQLite:
    ddl = (
        """CREATE TABLE IF NOT EXISTS event_router_once (
    subscription TEXT NOT NULL,
    stream TEXT NOT NULL,
    event_id TEXT NOT NULL,
    generation TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (subscription, stream, event_id, generation)
) WITHOUT ROWID""",
        "CREATE INDEX IF NOT EXISTS event_router_once_at ON event_router_once (subscription, at)",
    )

    def create(self) -> Question[None]:
        for statement in self.ddl:
            yield statement, ()

    def insert(self, subscription: str, marks: Sequence[Mark]) -> Question[tuple[Mark, ...]]:
        new = []
        for mark in marks:
            statement = (
                "INSERT INTO event_router_once (subscription, stream, event_id, generation) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT DO NOTHING RETURNING 1"
            )
            if (yield statement, (subscription, *mark)):
                new.append(mark)
        return tuple(new)

    def count(self, subscription: str, marks: Sequence[Mark]) -> Question[int]:
        number = 0
        for mark in marks:
            statement = (
                "SELECT 1 FROM event_router_once"
                " WHERE subscription = $1 AND stream = $2 AND event_id = $3 AND generation = $4"
            )
            number += len((yield statement, (subscription, *mark)))
        return number

    def sweep(self, ends: Mapping[str, datetime]) -> Question[int]:
        removed = 0
        for subscription, end in ends.items():
            until = end.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")  # as CURRENT_TIMESTAMP writes it
            statement = "DELETE FROM event_router_once WHERE subscription = $1 AND at < $2 RETURNING 1"
            removed += len((yield statement, (subscription, until)))
        return removed


POSTGRES: Dialect = _Postgres()
SQLITE: Dialect = _SQLite()
