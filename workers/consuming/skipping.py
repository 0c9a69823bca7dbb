"""What the filter of a subscription skips, and how it ends: as soon as it is read, without a lane, batch or attempt."""

from collections.abc import Callable, Sequence
from functools import partial

from router.events.event import Event
from router.events.fields import UnreadableEvent
from router.store.record import ATTEMPTS, DEFERRED, Fields
from workers.consuming.context import Context
from workers.consuming.moves import StreamMoves
from workers.consuming.settler import Settler
from workers.delivery import Held
from workers.where import Where

__all__ = ["Sieve", "Skipping"]


class Sieve:
    """Judges entries as they come from a stream or an inbox, before anything else is done with them.

    What has had an attempt, or was deferred, passed then and is not judged again: it is handled to its end, whatever
    the filter is by now. A replay is judged again. What cannot be read passes, and ends as it would without a filter.
    """

    def __init__(self, where: Where | None) -> None:
        self._where = where

    def skips(self, fields: Fields, read: Callable[[], Event]) -> bool:
        """Return whether an entry is skipped; `read` returns its event, and is called only where that is needed."""
        if self._where is None or ATTEMPTS in fields or DEFERRED in fields:
            return False
        try:
            return not self._where.passes(read())
        except (UnreadableEvent, ValueError, RecursionError):
            return False


class Skipping:
    """Takes what was read from the streams, and hands to `put` what is to be handled."""

    def __init__(self, context: Context, settler: Settler, put: Callable[[list[Held]], None]) -> None:
        self._moves = StreamMoves(context.keys, context.group, context.consumer)
        self._sieve = Sieve(context.subscription.where)
        self._catalogue = context.catalogue
        self._settler = settler
        self._put = put

    def take(self, items: Sequence[Held]) -> None:
        """Hand on what passes, and have the store end the rest."""
        passed: list[Held] = []
        skipped: list[Held] = []
        for held in items:
            is_skipped = self._sieve.skips(held.fields, partial(held.kept_event, self._catalogue))
            (skipped if is_skipped else passed).append(held)
        self._put(passed)
        for step in self._moves.skipped(skipped):
            self._settler.carry_out(step)
