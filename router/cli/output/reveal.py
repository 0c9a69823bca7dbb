"""Raw bodies on a screen or in JSON: masked, unless --reveal asks for them, which the audit keeps."""

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from router.cli.command.exits import usage
from workers.operations.audit import MATCHED

__all__ = ["Reveal", "check_reveal", "counted"]

T = TypeVar("T")

Reveal = Annotated[
    bool, typer.Option("--reveal", help="Show the values of bodies too, in JSON as well; the audit says that you did.")
]


def counted(counts: Counter[str], json_of: Callable[[T], Any]) -> Callable[[T], Any]:
    """Return what makes JSON of an item, and counts it."""

    def shown(item: T) -> Any:
        counts[MATCHED] += 1
        return json_of(item)

    return shown


def check_reveal(*, reveal: bool, as_json: bool) -> None:
    """End a command that lists without bodies where it is to reveal them."""
    if reveal and not as_json:
        usage("the list has no bodies: add --json to --reveal, or show one of them")
