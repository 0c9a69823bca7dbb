"""What the demo counts, and whether it adds up."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table

__all__ = ["Tally"]

_SUBSCRIPTIONS = 3
_ACCEPTED = 202  # the one status that means stored
_FIGURES = ("sent", "accepted", "duplicates", "quarantined", "refused")


@dataclass
class Tally:
    """What was sent, and what the answers said of it; counted in notifications."""

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    refused: int = 0

    def add(self, number: int, status: int, answer: dict[str, int]) -> None:
        """Count one answered request of `number` notifications."""
        self.sent += number
        if status != _ACCEPTED:
            self.refused += number
            return
        self.accepted += answer["accepted"]
        self.duplicates += answer["duplicates"]
        self.quarantined += answer["quarantined"]

    @property
    def deliveries(self) -> int:
        """How many deliveries the accepted notifications make: one to each subscription."""
        return self.accepted * _SUBSCRIPTIONS

    def table(self, handled: int, dead: int) -> Table:
        """Return the summary, with how many deliveries were handled and how many are dead."""
        table = Table("notifications", "", title="Where every notification went", title_justify="left")
        for name in _FIGURES:
            table.add_row(name, str(getattr(self, name)))
        table.add_section()
        table.add_row(f"deliveries to {_SUBSCRIPTIONS} subscriptions", str(self.deliveries))
        table.add_row("handled", str(handled))
        table.add_row("dead", str(dead))
        return table

    def checks(self, handled: int, dead: int) -> Iterator[tuple[str, bool]]:
        """Yield each sum that must hold, and whether it does."""
        answered = self.accepted + self.duplicates + self.quarantined + self.refused
        yield "sent = accepted + duplicates + quarantined + refused", self.sent == answered
        yield "accepted x subscriptions = handled + dead", self.deliveries == handled + dead
        odd = (self.duplicates, self.quarantined, self.refused)
        yield "one duplicate, one in quarantine, two refused", odd == (1, 1, 2)
