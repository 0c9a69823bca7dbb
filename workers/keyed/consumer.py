"""One keyed subscription at work in this process."""

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from typing import Any

from router.store.errors import STORE_ERRORS
from router.store.lines import Lines, Merging
from workers.coalesce import Coalesce
from workers.consuming.consumer import Consumer, Reading
from workers.keyed.entry import LineHeld
from workers.keyed.leadership import Leadership
from workers.keyed.line_moves import LineMoves
from workers.keyed.line_reader import LineReader
from workers.keyed.mover import Mover


class KeyedConsumer(Consumer):
    """Brings events into lines, if it is the one that does, and handles them from there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        context = self.context
        self._lines = Lines(context.keys, context.group, _merging(context.subscription.coalesce))
        self._moves = context.moves = LineMoves(context, self._lines)
        self._worker = f"{context.consumer}/"
        run = f"{self._worker}{secrets.token_hex(4)}/"
        self._leadership = Leadership(context, self._lines, run)
        self._mover = Mover(context, self._lines, self._leadership)
        self._reader = LineReader(
            *(context, self._lines, run, self._pace, self._executor.put),
            *(self._finish, self._put_aside, self._leadership.ask_now),
        )
        self._moving: asyncio.Task[None] | None = None

    def _make_readers(self) -> Sequence[Reading]:
        return [self._reader]

    def _keepers(self) -> list[Coroutine[Any, Any, None]]:
        return [*super()._keepers(), self._mover.run()]

    def _retry_scheduled(self, stream: str, seconds: float) -> None:
        """Do nothing: the lines wake all who wait for them."""

    async def _take_over(self) -> None:
        await super()._take_over()
        await self.context.store.call(self._lines.abandon(self._worker))

    async def _settle_and_sign_off(self) -> None:
        try:
            await self._leadership.give_up()
        except STORE_ERRORS as error:
            self.context.outage.failed("giving the lease of the lines up", error)
        await super()._settle_and_sign_off()

    def _finish(self, held: LineHeld) -> None:
        self._settler.carry_out(self._moves.finish(held))

    def _put_aside(self, held: LineHeld) -> None:
        self._settler.carry_out(self._moves.put_aside(held))


def _merging(coalesce: Coalesce | None) -> Merging:
    if coalesce is None:
        return Merging()
    return Merging(round(coalesce.quiet * 1000), round(coalesce.within * 1000), coalesce.most)
