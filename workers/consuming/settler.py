"""Settling: telling the store what became of the attempts, many in one round trip.

Outcomes gather while the round trip before is under way. When the store is away they are kept and tried again; the
deliveries stay in hand meanwhile, so their hold is renewed as soon as the store is back.
"""

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from typing import Any

from router.store.errors import is_no_group
from router.tasks.backoff import Backoff
from workers.consuming.context import Context
from workers.consuming.moves import Step
from workers.deferrals import deferred_again
from workers.delivery import Held, error_line
from workers.feedback.note import reason_of
from workers.outcomes import DeferFor, Done, Outcome, RetryIn

_LONGEST = 3650 * 86_400.0
"""Seconds a retry or a deferral may be put off: what any server's integers can hold."""


class Settler:
    """Settles outcomes; calls `scheduled(stream, seconds)` for every retry and deferral.

    `broken` fails if settling ends in an error that is not the store's: a fault of ours, which must not go unseen.
    """

    def __init__(self, context: Context, scheduled: Callable[[str, float], None]) -> None:
        self._context = context
        self._scheduled = scheduled
        self._done: list[Held] = []
        self._steps: list[Step] = []
        self._task: asyncio.Task[None] | None = None
        self._own = contextvars.copy_context()
        self._backoff = Backoff(context.random)
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        outcomes = context.metrics.outcomes
        self._counters = {
            name: outcomes.labels(context.group, name)
            for name in ("done", "retried", "deferred", "dead", "lost", "returned")
        }
        self._counters["skipped"] = context.metrics.skipped.labels(context.group)

    def settle(self, held: Held, outcome: Outcome, error: BaseException | None = None) -> None:
        """Take note of what became of a delivery; returns at once."""
        if isinstance(outcome, Done):
            self._done.append(held)
            self._wake()
        elif isinstance(outcome, RetryIn):
            seconds = min(outcome.seconds, _LONGEST)
            self.carry_out(self._context.moves.retry(held, seconds, self._line(held, error)))
        elif isinstance(outcome, DeferFor):
            deferred = deferred_again(held.deferrals, self._context.clock(), outcome)
            self.carry_out(self._context.moves.defer(held, min(outcome.seconds, _LONGEST), deferred))
        else:
            if self._context.feedback is not None:
                held.said = reason_of(outcome.reason, error)
            reason = outcome.reason.encode(errors="backslashreplace")
            self.carry_out(self._context.moves.dead(held, reason, self._line(held, error)))

    def give_back(self, held: Held) -> None:
        """Hand a delivery that was not finished to the other consumers, at once."""
        self.carry_out(self._context.moves.back(held))

    def carry_out(self, step: Step) -> None:
        """Take a step that settles deliveries."""
        self._steps.append(step)
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

    def _take(self) -> list[Step]:
        steps, self._steps = self._steps, []
        done, self._done = self._done, []
        return [*steps, *self._context.moves.done(done)]

    async def _run(self, steps: list[Step]) -> None:
        replies = await self._context.store.run([step.call for step in steps])
        failed: list[BaseException] = []
        settled: list[Held] = []
        for step, reply in zip(steps, replies, strict=True):
            if isinstance(reply, BaseException) and not is_no_group(reply):
                self._steps.append(step)
                failed.append(reply)
            elif step.then is not None and reply and not isinstance(reply, BaseException):
                self._steps.append(step.then)
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

    def _finished(self, step: Step, reply: Any) -> Sequence[Held]:
        """Return the deliveries that ended with a step, and were still ours."""
        if isinstance(reply, list):
            lost = self._context.moves.lost(step.held, reply)
            return [held for held in step.held if held not in lost]
        return step.held if reply and not isinstance(reply, BaseException) else ()

    def _tell(self, step: Step, ended: Sequence[Held]) -> None:
        context = self._context
        if context.subscription.coalesce:
            context.metrics.merged.labels(context.group).inc(sum(held.stands_for - 1 for held in ended))
        if context.feedback is not None:
            context.feedback.settled(ended, success=step.outcome == "done")

    def _note(self, step: Step, reply: Any) -> None:
        """Count what was settled."""
        context = self._context
        if isinstance(reply, BaseException):
            context.log.warning("group_lost", error=str(reply), deliveries=len(step.held))
            lost = len(step.held)
        else:
            lost = len(reply) if isinstance(reply, list) else 0 if reply else 1
        if step.outcome in ("retried", "deferred"):
            # Also where the reply says that it was not ours: the first try may have done it and its reply been lost.
            self._scheduled(step.held[0].stream, step.delay)
        self._counters[step.outcome].inc(len(step.held) - lost)
        if step.outcome == "skipped":
            context.skipped.add(step.held[0].stream, len(step.held) - lost)
        if step.outcome in ("done", "dead") and (context.feedback is not None or context.subscription.coalesce):
            self._tell(step, self._finished(step, reply))
        if lost:
            self._counters["lost"].inc(lost)
            context.log.warning("lease_lost", deliveries=lost, outcome=step.outcome)
