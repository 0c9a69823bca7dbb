"""Settling: telling the store what became of the attempts, many in one round trip.

Outcomes gather while the round trip before is under way. When the store is away they are kept and tried again; the
deliveries stay in hand meanwhile, so their hold is renewed as soon as the store is back.
"""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, NamedTuple

from router.store import scripts
from router.store.errors import is_no_group
from router.store.record import REASON
from router.tasks.backoff import Backoff
from workers.consuming.context import Context
from workers.delivery import Held, error_line
from workers.outcomes import Dead, Done, Outcome, RetryIn

_LONGEST = 3650 * 86_400.0
"""Seconds a retry may be put off: what any server's integers can hold."""


class _Step(NamedTuple):
    """One script call and the deliveries it settles."""

    call: scripts.Call
    outcome: str
    held: list[Held]
    delay: float = 0.0


class Settler:
    """Settles outcomes; calls `scheduled(stream, seconds)` for every retry.

    `broken` fails if settling ends in an error that is not the store's: a fault of ours, which must not go unseen.
    """

    def __init__(self, context: Context, scheduled: Callable[[str, float], None]) -> None:
        self._context = context
        self._scheduled = scheduled
        self._done: dict[tuple[str, bool], list[Held]] = {}
        self._steps: list[_Step] = []
        self._task: asyncio.Task[None] | None = None
        self._own = contextvars.copy_context()
        self._backoff = Backoff(context.random)
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        outcomes = context.metrics.outcomes
        self._counters = {
            name: outcomes.labels(context.group, name) for name in ("done", "retried", "dead", "lost", "returned")
        }

    def settle(self, held: Held, outcome: Outcome, error: BaseException | None = None) -> None:
        """Take note of what became of a delivery; returns at once."""
        if isinstance(outcome, Done):
            self._done.setdefault((held.stream, held.inbox), []).append(held)
        elif isinstance(outcome, RetryIn):
            self._steps.append(self._retry(held, outcome, error))
        else:
            self._steps.append(self._dead(held, outcome, error))
        self._wake()

    def give_back(self, held: Held) -> None:
        """Hand a delivery that was not finished to the other consumers, at once, through the inbox."""
        context = self._context
        call = self._move(held, context.keys.inbox(held.stream, context.group), held.moved())
        self._steps.append(_Step(call, "returned", [held]))
        self._wake()

    def let_go(self, held: Held) -> None:
        """Forget a delivery that another consumer has taken over."""
        self._counters["lost"].inc()
        self._context.log.warning("lease_lost", event_id=held.event_id, stream=held.stream)
        self._context.in_hand.lost(held)

    async def drain(self) -> None:
        """Wait until everything is settled."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def has_settled(self, held: Held) -> None:
        """Wait until a delivery whose outcome is known is settled in the store, or is not ours any more."""
        in_hand = self._context.in_hand
        while held in in_hand and not self.broken.done():
            await asyncio.wait([in_hand.left(), self.broken], return_when=asyncio.FIRST_COMPLETED)

    def _retry(self, held: Held, outcome: RetryIn, error: BaseException | None) -> _Step:
        context, keys = self._context, self._context.keys
        stream, group = held.stream, context.group
        fields = held.moved(self._line(held, error))
        target = (keys.parked(stream, group), keys.due(stream, group), group, context.consumer)
        delay = round(min(outcome.seconds, _LONGEST) * 1000)
        call = scripts.schedule(context.source(held), *target, held.entry_id, delay, fields, inbox=held.inbox)
        return _Step(call, "retried", [held], outcome.seconds)

    def _dead(self, held: Held, outcome: Dead, error: BaseException | None) -> _Step:
        context = self._context
        fields = [
            *held.moved(self._line(held, error) if error is not None else None),
            REASON,
            outcome.reason.encode(errors="backslashreplace"),
        ]
        return _Step(self._move(held, context.keys.dead(held.stream, context.group), fields), "dead", [held])

    def _move(self, held: Held, target: str, fields: list[scripts.Field]) -> scripts.Call:
        context = self._context
        source = context.source(held)
        return scripts.move(source, target, context.group, context.consumer, held.entry_id, fields, inbox=held.inbox)

    def _line(self, held: Held, error: BaseException | None) -> str | None:
        return None if error is None else error_line(error, held.used + 1, self._context.clock())

    def _wake(self) -> None:
        if self._task is None:
            # Not in the context of the handler that happens to begin it, whose event its log lines would carry.
            self._task = asyncio.create_task(self._settle_all(), context=self._own)
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self.broken.done():
            self.broken.set_exception(error)

    async def _settle_all(self) -> None:
        try:
            while self._done or self._steps:
                await self._run(self._take())
        finally:
            self._task = None

    def _take(self) -> list[_Step]:
        steps, self._steps = self._steps, []
        done, self._done = self._done, {}
        for (stream, inbox), held in done.items():
            source = self._context.source_of(stream, inbox=inbox)
            for start in range(0, len(held), scripts.BATCH):
                chunk = held[start : start + scripts.BATCH]
                ids = [item.entry_id for item in chunk]
                steps.append(_Step(scripts.ack(source, self._context.group, ids, inbox=inbox), "done", chunk))
        return steps

    async def _run(self, steps: list[_Step]) -> None:
        replies = await self._context.store.run([step.call for step in steps])
        failed: list[BaseException] = []
        settled: list[Held] = []
        for step, reply in zip(steps, replies, strict=True):
            if isinstance(reply, BaseException) and not is_no_group(reply):
                self._steps.append(step)
                failed.append(reply)
            else:
                self._note(step, reply)
                settled += step.held
        self._context.in_hand.settle(settled)
        if len(failed) == len(steps):
            await self._wait(failed[0])
        else:
            self._backoff.reset()
            self._context.outage.over("settling")

    async def _wait(self, error: BaseException) -> None:
        delay = self._backoff.next()
        self._context.outage.failed("settling", error)
        await asyncio.sleep(delay)

    def _note(self, step: _Step, reply: Any) -> None:
        """Count what was settled."""
        context = self._context
        if isinstance(reply, BaseException):
            context.log.warning("group_lost", error=str(reply), deliveries=len(step.held))
            lost = len(step.held)
        elif step.outcome == "done":
            lost = len(reply)
        else:
            lost = 0 if reply else 1
        if step.outcome == "retried":
            # Also where the reply says that it was not ours: the first try may have done it and its reply been lost.
            self._scheduled(step.held[0].stream, step.delay)
        self._counters[step.outcome].inc(len(step.held) - lost)
        if lost:
            self._counters["lost"].inc(lost)
            context.log.warning("lease_lost", deliveries=lost, outcome=step.outcome)
