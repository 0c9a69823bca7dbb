"""What a command is told to change, and the options that say so, the same for every command that changes things."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from router.cli.changes.batches import batch_size
from workers.operations.audit import Deed

__all__ = ["DryRun", "Most", "Order", "Rate", "Reason", "Yes"]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go ahead without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what is meant.")]
Most = Annotated[int | None, typer.Option("--max", min=1, help="At most so many; of each stream the oldest.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0.01, help="At most so many a second.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit and in the log.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for; `selector` is what it selects by, as the audit tells it."""

    group: str
    verb: str
    done: str
    noun: str
    selector: Mapping[str, Any]
    subject: str = ""
    most: int | None = None
    yes: bool = False
    dry_run: bool = False
    reason: str = ""
    rate: float | None = None

    @property
    def deed(self) -> Deed:
        """What the audit says of it."""
        return Deed(f"{self.group} {self.verb}", self.subject, self.selector, self.reason)

    @property
    def batch(self) -> int:
        """How many are changed in one go: fewer where a rate has to be kept."""
        return batch_size(self.rate)
