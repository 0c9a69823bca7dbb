"""Raw bodies on a screen or in JSON: masked, unless --reveal asks for them, which the audit keeps."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import typer

from router.cli.command.exits import usage
from router.cli.output.rows import text_of
from router.store.client import Store
from workers.operations import audit
from workers.operations.audit import MATCHED, Deed, accounted

__all__ = ["Reveal", "check_reveal", "counted", "revealed", "revealing"]

T = TypeVar("T")

_REVEAL = "reveal"

Reveal = Annotated[
    bool, typer.Option("--reveal", help="Show the values of bodies too, in JSON as well; the audit says that you did.")
]


async def revealed(store: Store, raw: bytes, *, subject: str, actor: str | None = None) -> str:
    """Return the body of `subject` as text, once the audit has a line of who saw it: `actor`, or this process's user.

    Raises StoreUnavailable, and NotAudited where the line is refused.
    """
    await audit.record(store, _REVEAL, subject=subject, matched=1, actor=actor, strictly=True)
    return text_of(raw)


@asynccontextmanager
async def revealing(
    store: Store, subject: str, selector: Mapping[str, Any], *, reveal: bool
) -> AsyncIterator[Counter[str]]:
    """Yield the counts of what is listed; where values are revealed, the audit has a line before, and how many after.

    The caller counts MATCHED. Raises as `revealed` does.
    """
    counts: Counter[str] = Counter()
    if not reveal:
        yield counts
        return
    async with accounted(store, Deed(_REVEAL, subject, selector), counts, strictly=True):
        yield counts


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
