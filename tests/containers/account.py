"""The account at the end: every id that was acknowledged is looked for among what is stored, handled and dead."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Account"]

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Account:
    """What the sender, the store and the handlers each say happened, by ids; `handled` counts how often."""

    sent: Collection[str]
    acknowledged: Collection[str]
    stored: Sequence[str]
    handled: Mapping[str, int]
    dead: Collection[str] = ()
    refused: Sequence[str] = field(default=())

    def figures(self) -> dict[str, int]:
        """Return the totals."""
        return {
            "sent": len(self.sent),
            "acknowledged": len(self.acknowledged),
            "stored": len(self.stored),
            "handled": len(self.handled),
            "handled more than once": sum(number > 1 for number in self.handled.values()),
            "dead": len(self.dead),
        }

    def complaints(self) -> list[str]:
        """Return one line for each kind of wrong, with examples; none when every promise was kept."""
        stored = Counter(self.stored)
        kinds: dict[str, Iterable[str]] = {
            "sent and never acknowledged": set(self.sent) - set(self.acknowledged),
            "acknowledged and not stored": set(self.acknowledged) - stored.keys(),
            "stored more than once": (id_ for id_, number in stored.items() if number > 1),
            "acknowledged, and neither handled nor dead": set(self.acknowledged) - self.handled.keys() - set(self.dead),
            "handled, and never sent": self.handled.keys() - set(self.sent),
            "refused": self.refused,
        }
        found = {kind: sorted(ids) for kind, ids in kinds.items()}
        return [f"{kind}: {len(ids)}, such as {', '.join(ids[:_SHOWN])}" for kind, ids in found.items() if ids]
