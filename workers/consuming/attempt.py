"""One attempt: make sure the deliveries are still ours, call the handler, settle what came of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from router.store import scripts
from router.store.errors import STORE_ERRORS, is_no_group
from router.store.record import DEFERRED, HISTORY
from router.tasks.backoff import Backoff
from router.telemetry import logs
from router.telemetry.fast_metrics import HistogramChild
from workers.consuming.context import Context
from workers.consuming.lane import Lane, Watchdog
from workers.consuming.lingering import Lingering
from workers.consuming.settler import Settler
from workers.consuming.traced import TracedAttempts
from workers.delivery import Delivery, Held
from workers.echoes.guard import EchoGuard
from workers.echoes.left_out import ONCE, note_left_out
from workers.erp.background import in_time, last_chance
from workers.failure import described, text_of
from workers.handlers.hydrated import call_in, call_with_record
from workers.handlers.scope import Scope
from workers.outcomes import AlreadyDone, Dead, DeferFor, Done, Echoed, HandlerTimeout, RetryIn, WorkerMustEnd
from workers.retry import decide, deferral_of


class Attempts:
    """Runs attempts of one subscription in lanes."""

    def __init__(self, context: Context, settler: Settler, watchdog: Watchdog) -> None:
        self._context = context
        self._settler = settler
        self._watchdog = watchdog
        self.lingering = Lingering(context)
        """What runs on after its attempt."""
        self._handler = context.subscription.handled_by
        self._run = self._runner() if self._handler.wants_record else call_in
        self._seconds = context.metrics.seconds.labels(context.group)
        self._waited = Waited(context.metrics.waited.labels(context.group), context.clock)
        self._traced = TracedAttempts(context.tracing, context.group, context.consumer) if context.tracing else None
        self._stale_after = context.settings.lease / 2

    def _runner(self) -> Callable[..., Awaitable[list[BaseException | None]]]:
        """Return what calls a handler that wants a record."""
        subscription = self._context.subscription
        if subscription.echo is None:
            return call_with_record
        store, random = self._context.store, self._context.random
        return partial(call_with_record, echoes=EchoGuard(store, subscription.name, subscription.timeout, random))

    async def run(self, lane: Lane) -> None:
        """Attempt what the lane holds, and leave the lane empty; when cancelled, it stays with the lane."""
        stale = self._context.monotonic() - self._stale_after
        ready: list[Held] = []
        deliveries: list[Delivery] = []
        for held in lane.holding:  # no comprehension: with an await in it, it would be a coroutine of its own
            if (held.surely_ours(stale) or await self._owned(held)) and (delivery := self._prepare(held)):
                ready.append(held)
                deliveries.append(delivery)
        if ready:
            lane.holding = ready.copy()
            self._waited.starting(ready)
            _bind(ready[0])
            call = self._call(lane, deliveries)
            results = await (call if self._traced is None else self._traced.attempt(ready, call))
            if isinstance(results[0], WorkerMustEnd):
                raise results[0]  # the lane keeps what it holds, to be given back
            await self._note_already_done(deliveries, results)
            if thread := self._still_running(lane):
                self._settle_after(thread, ready, results)
            else:
                for held, result in zip(ready, results, strict=True):
                    self._settle(held, result)
                    del lane.holding[:1]  # one by one, if there: where settling breaks, those before it are settled
        lane.holding = []

    async def _note_already_done(self, deliveries: Sequence[Delivery], results: Sequence[BaseException | None]) -> None:
        """Have it known of which deliveries the effect was there already; of an echo it is."""
        for delivery, result in zip(deliveries, results, strict=True):
            if isinstance(result, AlreadyDone) and not isinstance(result, Echoed):
                await note_left_out(self._context.store, self._context.group, delivery, ONCE)

    def _still_running(self, lane: Lane) -> "Future[None] | None":
        """Return the thread that the attempt has left behind, where no other attempt may run beside it."""
        thread, lane.left_behind = lane.left_behind, None
        return thread if self._context.subscription.keyed else None

    def _settle_after(
        self, thread: "Future[None]", items: Sequence[Held], results: Sequence[BaseException | None]
    ) -> None:
        def settle() -> None:
            for held, result in zip(items, results, strict=True):
                self._settle(held, result)

        self.lingering.settle_after(thread, items, settle)

    async def _call(self, lane: Lane, deliveries: list[Delivery]) -> list[BaseException | None]:
        handler = self._handler
        lane.scope = scope = Scope(lane)
        started = time.monotonic()
        lane.in_thread = False
        self._watchdog.started(lane, started)
        try:
            results = await self._run(handler, deliveries, None if handler.is_async else lane.thread, scope)
            return results if scope.error is None else [scope.error] * len(deliveries)
        except asyncio.CancelledError as cancelled:
            error = self._cancelled(lane, scope, cancelled)
            lane.left_behind = lane.abandon_thread() if lane.in_thread else None
            if lane.left_behind:
                self._context.log.warning("thread_abandoned", reason="a thread cannot be stopped")
            return [error] * len(deliveries)
        finally:
            lane.scope = scope.owner = None
            self._watchdog.finished(lane)
            self._seconds.observe(time.monotonic() - started)

    def _cancelled(self, lane: Lane, scope: Scope, cancelled: asyncio.CancelledError) -> BaseException:
        """Return the error that a cancelled handler ended in; raises when it was the lane that was cancelled."""
        if scope.error is not None:
            return scope.error
        if lane.timed_out:
            return HandlerTimeout(f"the handler took longer than {self._context.subscription.timeout:g} seconds")
        if lane.asked_to_end:
            raise cancelled
        return cancelled

    def failed(self, lane: Lane, error: BaseException) -> None:
        """Settle what a lane holds as failed: something broke that was not the handler."""
        self._context.log.error("attempt_broken", exc_info=error)
        for held in lane.holding:
            self._settle(held, error)
        lane.holding = []

    def _prepare(self, held: Held) -> Delivery | None:
        """Return what the handler gets, or None where the delivery is settled without it."""
        context = self._context
        limit = context.subscription.retry.max_attempts
        if held.poisonous(limit):
            self._bury(held, Dead(f"its worker died {held.crashes} times; {limit} attempts are allowed"), None)
            return None
        try:
            event = held.event(context.catalogue)
            errors = held.errors() if HISTORY in held.fields else ()
            held.until = last_chance(event) if self._handler.wants_record else None
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is in an entry, it must not end the lane
            self._bury(held, Dead(f"the entry cannot be read: {text_of(error)}"), error)
            return None
        deferred = deferrals.times if (deferrals := held.deferrals) else 0
        return Delivery(event, context.group, held.used + 1, errors, held.merged, deferred, held.generation)

    def _settle(self, held: Held, result: BaseException | None) -> None:
        context = self._context
        retry, left = context.subscription.retry, self._deferrable(held)
        outcome = decide(retry, held.spent + 1, result, context.random, deferrable=left)
        if held.until is not None:
            outcome = in_time(outcome, held.until - context.clock())
        if isinstance(outcome, Done):
            if isinstance(result, AlreadyDone):
                self._already_done(held, result)
            self._settler.settle(held, outcome)
        elif isinstance(outcome, DeferFor):
            context.log.info("deferred", delay=round(outcome.seconds, 3), **_about(held, result))
            self._settler.settle(held, outcome)
        elif isinstance(outcome, RetryIn):
            delay = round(outcome.seconds, 3)
            context.log.info("retry_scheduled", attempt=held.used + 1, delay=delay, **_about(held, result))
            self._settler.settle(held, outcome, result)
        else:
            was_attempt = result is None or deferral_of(result) is None
            self._bury(held, outcome, result if was_attempt else None)

    def _already_done(self, held: Held, result: AlreadyDone) -> None:
        context, is_echo = self._context, isinstance(result, Echoed)
        counter = context.metrics.echoes if is_echo else context.metrics.already_done
        counter.labels(context.group).inc(held.stands_for if is_echo else 1)
        if is_echo:
            held.said = "an echo of a write of ours"
        context.log.info("echo_dropped" if is_echo else "already_done", attempt=held.used + 1, **_about(held, None))

    def _deferrable(self, held: Held) -> float:
        """Return for how many seconds a delivery may still be deferred."""
        longest = self._context.subscription.defer_max
        return longest if (before := held.deferrals) is None else before.left(longest, self._context.clock())

    def _bury(self, held: Held, outcome: Dead, error: BaseException | None) -> None:
        self._context.log.warning("dead_lettered", reason=outcome.reason, **_about(held, error))
        self._settler.settle(held, outcome, error)

    async def _owned(self, held: Held) -> bool:
        """Return whether a delivery is still this consumer's, asking the store where that may be in doubt."""
        context = self._context
        if held.crashes and not held.poisonous(context.subscription.retry.max_attempts):
            lost = await self._ask(context.moves.mark(held)) != 1
        elif context.monotonic() - held.touched > self._stale_after:
            (call, share) = context.moves.extend([held])[0]
            lost = bool(context.moves.lost(share, await self._ask(call) or ()))
        else:
            lost = held.lost
        if lost:
            self._settler.let_go(held)
        return not lost

    async def _ask(self, question: scripts.Call) -> Any:
        """Run a script, waiting for the store if it is away; a group that is gone owns nothing."""
        backoff = Backoff(self._context.random)
        while True:
            try:
                return await self._context.store.call(question)
            except STORE_ERRORS as error:
                if is_no_group(error):
                    return None
                await asyncio.sleep(backoff.next())


class Waited:
    """Observes how long events waited for a handler, from their receipt; `clock` in epoch seconds."""

    def __init__(self, timing: HistogramChild, clock: Callable[[], float] = time.time) -> None:
        self._timing = timing
        self._clock = clock

    def starting(self, deliveries: Iterable[Held]) -> None:
        """Take note that attempts start now; those of a retry or deferral are left out: they wait on purpose."""
        now, observe = self._clock(), self._timing.observe
        for held in deliveries:
            if held.received and not held.attempts and not held.crashes and DEFERRED not in held.fields:
                waited = now - held.received / 1000
                observe(waited if waited > 0 else 0.0)  # clocks of two machines may differ


def _bind(held: Held) -> None:
    """Have what is logged in an attempt say which one it is."""
    logs.bind({"stream": held.stream, "event_id": held.event_id, "attempt": held.used + 1})


def _about(held: Held, error: BaseException | None) -> dict[str, Any]:
    name, text = (None, None) if error is None else described(error)
    return {
        "stream": held.stream,
        "event_id": held.event_id,
        "error": name,
        "message": None if text is None else text[:500],
    }
