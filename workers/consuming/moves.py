"""What becomes of deliveries in the store: the script calls of each outcome, for deliveries that streams hold."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from router.store import scripts
from router.store.keys import Keys
from router.store.record import ORDER, REASON
from workers.delivery import Held


class Step(NamedTuple):
    """One script call and the deliveries that it settles; `then` is what follows, where they were still ours."""

    call: scripts.Call
    outcome: str
    held: list[Held]
    delay: float = 0.0
    then: "Step | None" = None


class Moves(Protocol):
    """How deliveries are settled and kept hold of, wherever they are."""

    def done(self, finished: Sequence[Held]) -> list[Step]:
        """Return what ends deliveries that were handled."""

    def retry(self, held: Held, seconds: float, line: str | None) -> Step:
        """Return what tries a delivery again in `seconds`; `line` is that of its history."""

    def defer(self, held: Held, seconds: float, deferred: bytes) -> Step:
        """Return what hands a delivery over again in `seconds`, no attempt used up; `deferred` is its field."""

    def dead(self, held: Held, reason: bytes, line: str | None) -> Step:
        """Return what makes a dead letter of a delivery."""

    def back(self, held: Held) -> Step:
        """Return what gives a delivery back that was not finished."""

    def extend(self, items: Iterable[Held]) -> list[tuple[scripts.Call, list[Held]]]:
        """Return what renews the hold on deliveries, each call with its share of them."""

    def lost(self, share: Sequence[Held], reply: Any) -> set[Held]:
        """Return the deliveries of a share that were lost, as the reply of `extend` says."""

    def mark(self, held: Held) -> scripts.Call:
        """Return what records that a suspect is being started; its reply is 1 where it is still ours."""


class StreamMoves:
    """The moves between the streams of a subscription: events, inbox, retries and dead letters."""

    def __init__(self, keys: Keys, group: str, consumer: str) -> None:
        self._keys = keys
        self._group = group
        self._consumer = consumer

    def done(self, finished: Sequence[Held]) -> list[Step]:
        """Acknowledge them, those of each stream together."""
        return self._acknowledged(finished, "done")

    def skipped(self, items: Sequence[Held]) -> list[Step]:
        """Return what ends deliveries that the filter skips, as if they were handled."""
        return self._acknowledged(items, "skipped")

    def _acknowledged(self, finished: Sequence[Held], outcome: str) -> list[Step]:
        return [
            Step(scripts.ack(source, self._group, [held.entry_id for held in share], inbox=inbox), outcome, share)
            for source, inbox, share in self._shares(finished)
        ]

    def retry(self, held: Held, seconds: float, line: str | None) -> Step:
        """Park it until it is due."""
        return Step(self._park(held, seconds, _moved(held, line)), "retried", [held], seconds)

    def defer(self, held: Held, seconds: float, deferred: bytes) -> Step:
        """Park it until it is due, as a retry."""
        return Step(self._park(held, seconds, _moved(held, deferred=deferred)), "deferred", [held], seconds)

    def _park(self, held: Held, seconds: float, fields: list[scripts.Field]) -> scripts.Call:
        keys, group = self._keys, self._group
        target = (keys.parked(held.stream, group), keys.due(held.stream, group))
        return scripts.schedule(
            *(self._source(held), *target, group, self._consumer, held.entry_id),
            *(round(seconds * 1000), fields),
            inbox=held.inbox,
        )

    def dead(self, held: Held, reason: bytes, line: str | None) -> Step:
        """Move it to the dead letters."""
        dead = self._keys.dead(held.stream, self._group)
        return Step(self._move(held, dead, [*_moved(held, line), REASON, reason]), "dead", [held])

    def back(self, held: Held) -> Step:
        """Move it to the inbox, where any consumer finds it."""
        return Step(self._move(held, self._keys.inbox(held.stream, self._group), _moved(held)), "returned", [held])

    def extend(self, items: Iterable[Held]) -> list[tuple[scripts.Call, list[Held]]]:
        """Renew the hold on them, those of each stream together."""
        return [
            (scripts.extend(source, self._group, self._consumer, [held.entry_id for held in share]), share)
            for source, _, share in self._shares(items)
        ]

    def lost(self, share: Sequence[Held], reply: Any) -> set[Held]:
        """Return those whose entries the reply names."""
        entries = set(reply)
        return {held for held in share if held.entry_id in entries}

    def mark(self, held: Held) -> scripts.Call:
        """Set the delivery counter of its entry."""
        return scripts.mark(self._source(held), self._group, self._consumer, held.entry_id)

    def _source(self, held: Held) -> str:
        return self._keys.source(held.stream, self._group, inbox=held.inbox)

    def _move(self, held: Held, target: str, fields: list[scripts.Field]) -> scripts.Call:
        whose = (self._group, self._consumer, held.entry_id)
        return scripts.move(self._source(held), target, *whose, fields, inbox=held.inbox)

    def _shares(self, items: Iterable[Held]) -> list[tuple[str, bool, list[Held]]]:
        """Return (source, inbox?, deliveries) of every source, in shares that one script call may take."""
        sources: dict[tuple[str, bool], list[Held]] = {}
        for held in items:
            sources.setdefault((held.stream, held.inbox), []).append(held)
        return [
            (self._keys.source(stream, self._group, inbox=inbox), inbox, held[start : start + scripts.BATCH])
            for (stream, inbox), held in sources.items()
            for start in range(0, len(held), scripts.BATCH)
        ]


def _moved(held: Held, line: str | None = None, deferred: bytes | None = None) -> list[scripts.Field]:
    """Return the fields to move a delivery with, and its place in its stream: the subscription may be given a key."""
    fields = held.moved(line, deferred)
    return fields if held.inbox or ORDER in held.fields else [*fields, ORDER, held.entry_id]
