"""The block whose effect is made once: a transaction, or part of one, that begins with the markers of a delivery."""

from contextlib import AsyncExitStack, ExitStack
from types import TracebackType
from typing import Any

from workers.delivery import Delivery
from workers.exactly_once.drivers import AsyncDriver, SyncDriver, ask, ask_async
from workers.exactly_once.marks import Mark, marks_of
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
            await stack.enter_async_context(self._driver.transaction(self._connection))
            new: tuple[Mark, ...] = await ask_async(self._driver, self._connection, self._question())
            if not new:
                raise self._done()
            self._open = stack.pop_all()
            return new

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.__aexit__(kind, error, trace)

    def __enter__(self) -> tuple[Mark, ...]:
        with ExitStack() as stack:
            stack.enter_context(self._driver.transaction(self._connection))
            new: tuple[Mark, ...] = ask(self._driver, self._connection, self._question())
            if not new:
                raise self._done()
            self._open = stack.pop_all()
            return new

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def _done(self) -> AlreadyDone:
        event = self._delivery.event
        return AlreadyDone(event.stream, event.id, self._delivery.generation)

    def _question(self) -> Any:
        return self._driver.dialect.insert(self._delivery.subscription, marks_of(self._delivery))
