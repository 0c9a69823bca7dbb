"""The block whose effect is made once: a transaction, or part of one, that begins with the markers of a delivery."""

from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from types import TracebackType
from typing import Any

from workers.delivery import Delivery
from workers.exactly_once.drivers import AsyncDriver, SyncDriver, ask, ask_async
from workers.exactly_once.errors import Undone
from workers.exactly_once.marks import Mark, marks_of
from workers.exactly_once.sharing import unshared
from workers.outcomes import AlreadyDone

__all__ = ["Block"]


class Block:
    """What `once` returns: enter it with `async with`, or with `with` where the driver's calls are not awaited."""

    def __init__(self, delivery: Delivery, connection: Any, driver: AsyncDriver | SyncDriver) -> None:
        self._delivery = delivery
        self._connection = connection
        self._driver: Any = driver
        self._open: Any = None

    async def __aenter__(self) -> tuple[Mark, ...]:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._unshared())
            await stack.enter_async_context(self._driver.transaction(self._connection))
            new: tuple[Mark, ...] = await ask_async(self._driver, self._connection, self._question())
            if not new:
                raise self._done()
            self._open = stack.pop_all()
            return new

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            await self._open.__aexit__(kind, error, trace)
            return
        async with self._open:
            self._check(await ask_async(self._driver, self._connection, self._asked_again()))

    def __enter__(self) -> tuple[Mark, ...]:
        with ExitStack() as stack:
            stack.enter_context(self._unshared())
            stack.enter_context(self._driver.transaction(self._connection))
            new: tuple[Mark, ...] = ask(self._driver, self._connection, self._question())
            if not new:
                raise self._done()
            self._open = stack.pop_all()
            return new

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            self._check(ask(self._driver, self._connection, self._asked_again()))

    def _done(self) -> AlreadyDone:
        event = self._delivery.event
        return AlreadyDone(event.stream, event.id, self._delivery.generation)

    def _question(self) -> Any:
        return self._driver.dialect.insert(self._delivery.subscription, marks_of(self._delivery))

    def _asked_again(self) -> Any:
        return self._driver.dialect.count(self._delivery.subscription, marks_of(self._delivery))

    def _check(self, found: int) -> None:
        """Raise Undone where the markers are not there any more: nor is the effect, or it would be made again."""
        if found < len(marks_of(self._delivery)):
            raise Undone("the transaction was undone within the block: leave commit and rollback to the block")

    def _unshared(self) -> AbstractContextManager[None]:
        return unshared(self._connection, self._delivery.event.id)
