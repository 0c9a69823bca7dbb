"""A change under way: what it has done is counted, and audited however it ends."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import typer

from config.errors import described
from router.cli.command.exits import complain
from router.cli.command.interrupt import INTERRUPTED
from router.process.signals import cancelling
from router.store.client import STORE_ERRORS, Store, StoreUnavailable
from workers.operations import audit
from workers.operations.audit import CHANGED, FAILED, MATCHED, Deed

__all__ = ["Ended", "audited", "in_order"]

Ended = Callable[[Counter[str], str], str]
"""Says what to know of a change that did not come to its end, by its counts and what came in between."""


@asynccontextmanager
async def audited(
    store: Store, deed: Deed, matched: int = 0, ended: Ended | None = None
) -> AsyncIterator[Counter[str]]:
    """Yield the counts of a change, and leave a line in the audit: begun before the change, ended however that ends.

    Every signal that can be caught ends it as `in_order` does. `ended` is called where it did not come to its end.
    """
    counts: Counter[str] = Counter({MATCHED: matched, CHANGED: 0, FAILED: 0})
    with in_order():
        try:
            async with audit.accounted(store, deed, counts):
                yield counts
        except asyncio.CancelledError:
            _say(ended, counts, audit.INTERRUPTED)
            raise
        except Exception as error:
            lost = isinstance(error, (StoreUnavailable, *STORE_ERRORS))
            _say(ended, counts, "the store was lost" if lost else described(error))
            raise


@contextmanager
def in_order() -> Iterator[None]:
    """Let signals that would end the process cancel the task, and end the command then: raises typer.Exit."""
    task = asyncio.current_task()
    assert task is not None
    with cancelling(task):
        try:
            yield
        except asyncio.CancelledError:
            raise typer.Exit(INTERRUPTED) from None


def _say(ended: Ended | None, counts: Counter[str], why: str) -> None:
    if ended is not None and (words := ended(counts, why)):
        complain(words)
