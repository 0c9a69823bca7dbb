"""How a command is to change what it selects, and the options that say so, the same for every command that does."""

from dataclasses import dataclass
from typing import Annotated

import typer

__all__ = ["DryRun", "Most", "Order", "Rate", "Reason", "Renormalise", "Yes"]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go ahead without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what is selected.")]
Most = Annotated[int | None, typer.Option("--max", min=1, help="At most so many; of each stream the oldest.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0.01, help="At most so many a second.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit and in the log.")]

Renormalise = Annotated[
    bool, typer.Option("--renormalise", help="Make the events again from the bytes as sent, by the catalogue of today.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line says of a change, and the words for it: `replay` events, which are `replayed`, `to` whom.

    `asks_for_one`: a single item takes a yes, too.
    """

    verb: str
    done: str
    noun: str
    to: str = ""
    asks_for_one: bool = False
    yes: bool = False
    dry_run: bool = False
    reason: str = ""
    rate: float | None = None
