"""How many keys each keyed subscription has, by their state, and how old the oldest event in its lines is."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.store.client import Store
from router.store.errors import forgiven
from router.store.lines import Lines
from router.store.reading import checked

STATES = ("ready", "scheduled", "quiet", "running", "held")
"""The states of a key, in the order in which a key passes through them; metrics name them so."""


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """The keys of one subscription: ready for a worker, scheduled for the next attempt, quiet, running, held.

    oldest: seconds since the oldest event came that waits for a worker or is in hand; None where there is none.
    """

    ready: int
    scheduled: int
    quiet: int
    running: int
    held: int
    oldest: float | None = None

    @property
    def waiting(self) -> int:
        """How many have events and are neither running nor held."""
        return self.ready + self.scheduled + self.quiet


async def key_counts(store: Store, names: Sequence[str]) -> dict[str, KeyCounts]:
    """Count the keys of those of the subscriptions that are keyed; one round trip. Raises StoreUnavailable."""
    lines = [Lines(store.keys, name) for name in names]
    replies = await store.run([each.tally() for each in lines]) if lines else []
    found = checked(forgiven(replies, [each.keys[0] for each in lines], None))
    return {name: _counts(reply) for name, reply in zip(names, found, strict=True) if reply is not None}


def _counts(reply: Sequence[int]) -> KeyCounts:
    ready, scheduled, quiet, running, held, oldest = reply
    return KeyCounts(ready, scheduled, quiet, running, held, None if oldest < 0 else oldest / 1000)
