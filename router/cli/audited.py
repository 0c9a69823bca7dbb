"""A change under way: what it has done is counted, and audited however it ends."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from config.errors import told
from router import audit
from router.cli.exits import complain
from router.cli.interrupt import INTERRUPTED
from router.cli.order import Order
from router.cli.runtime import Session
from router.store import STORE_ERRORS, StoreUnavailable

__all__ = ["CHANGED", "FAILED", "MATCHED", "audited"]

MATCHED, CHANGED, FAILED = "matched", "changed", "failed"
"""What every change counts, beside what is its own."""


class audited:  # noqa: N801 - a context manager, named as the functions of contextlib are
    """A change under way: counts what is done, and leaves a line in the audit however it ends.

    SIGTERM ends it in order, as Ctrl-C does: raises typer.Exit. How far it came is said, unless `tell` is off.
    """

    def __init__(self, session: Session, order: Order, matched: int, *, tell: bool = True) -> None:
        self._session = session
        self._order = order
        self._tell = tell
        self._counts: Counter[str] = Counter({MATCHED: matched, CHANGED: 0, FAILED: 0})
        self._signals = _terminable()

    async def __aenter__(self) -> Counter[str]:
        self._signals.__enter__()
        return self._counts

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._signals.__exit__(None, None, None)
        lost = isinstance(error, (StoreUnavailable, *STORE_ERRORS))
        interrupted = isinstance(error, asyncio.CancelledError)
        if self._tell and (lost or interrupted):
            far = f"{self._counts[CHANGED]} of {self._counts[MATCHED]} were {self._order.done}"
            complain(f"{'the store was lost' if lost else 'interrupted'} when {far}; repeating is safe")
        await self._record("interrupted" if interrupted else told(error) if error is not None else "")
        if interrupted:
            raise typer.Exit(INTERRUPTED) from None

    async def _record(self, error: str) -> None:
        order, counts = self._order, self._counts
        await audit.record(
            self._session.store,
            f"{order.group} {order.verb}",
            subject=order.subject,
            selector=order.selector,
            matched=counts[MATCHED],
            changed=counts[CHANGED],
            failed=counts[FAILED],
            reason=order.reason,
            error=error,
        )


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM cancel the task."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
