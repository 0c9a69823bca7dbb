"""The behaviour of a running consumer, on the fake store and on a real server."""

import asyncio
import contextvars
import decimal
import json
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.stores import SERVER_URL
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue, UnknownStream
from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.read_connection import ReadConnection
from router.tasks.ending import CutShort, end
from workers import DeadLetter, Delivery, Event, Retry, RetryLater, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics

SLUG = "visma-net-financial"
STREAM = f"{SLUG}/customer_changed"
OTHER = f"{SLUG}/supplier_changed"
CALM = 60.0
"""A lease so long that nothing here happens because of it."""
SHORT = 0.3


class Upper:
    """Randomness that always draws the longest delay."""

    def uniform(self, _low: float, high: float) -> float:
        """Draw."""
        return high


class Bench:
    """A store, consumers on it, and what tests ask about both."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.store = store
        self.client: Any = store.client
        self.keys = store.keys
        self.catalogue = catalogue
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)
        self.alive: list[Consumer] = []

    async def start(self, subscription: Subscription, name: str = "c1", **options: Any) -> Consumer:
        """Start a consumer."""
        options = {"lease": CALM, "block": 0.1, "sweep_interval": CALM, "shutdown_timeout": 5.0, **options}
        settings = WorkerSettings(**options)
        consumer = Consumer(subscription, name, self.store, self.catalogue, settings, self.metrics)
        consumer.context.random = Upper()  # type: ignore[assignment]
        self.alive.append(consumer)
        await consumer.start()
        return consumer

    async def stop(self, consumer: Consumer) -> None:
        """Stop a consumer in good order."""
        self.alive.remove(consumer)
        await consumer.stop()

    def kill(self, consumer: Consumer) -> None:
        """Let a consumer vanish: everything it does ends in the middle, and it tells nobody."""
        self.alive.remove(consumer)
        for task in running(consumer):
            task.cancel()
        for lane in consumer._executor._lanes:
            lane.close()
        consumer._executor._watchdog.stop()

    async def bury(self, consumer: Consumer) -> None:
        """Wait until a killed consumer does nothing any more, and close the connections it left open."""
        for reader in consumer._readers:
            reader._stopping = True
        tasks = running(consumer)
        while tasks := [task for task in tasks if not task.done()]:
            await asyncio.wait(tasks, timeout=0.05)
            for task in tasks:  # the fake store's client swallows a cancellation now and then
                task.cancel()
        for reader in consumer._readers:
            await reader._connection.aclose()
        for lane in consumer._executor._lanes:
            lane.abandon_thread()
        await self._wait_for_abandoned_reads(consumer.context.settings.block)

    async def _wait_for_abandoned_reads(self, block: float) -> None:
        """Wait for the fake server to end the reads of a client that is gone: until then they take what comes."""
        clock = asyncio.get_running_loop().time
        over = clock() + block
        await eventually(lambda: clock() > over)

    async def publish(self, *names: str, stream: str = STREAM) -> None:
        """Append events as ingress does."""
        wire = stream.partition("/")[2]
        fields: list[scripts.Field] = []
        for name in names:
            raw = json.dumps({"event": wire, "notificationId": name, "resourceUri": f"v1/customer/{name}"})
            fields += ["id", name, "at", int(time.time() * 1000), "raw", raw]
        markers = [self.keys.seen(stream, name) for name in names]
        await self.store.call(scripts.append(self.keys.events(stream), markers, fields, 60_000))

    async def dead(self, subscription: Subscription, stream: str = STREAM) -> dict[str, dict[str, str]]:
        """Return the dead letters of a subscription by the event's id."""
        found = await self.client.xrange(self.keys.dead(stream, subscription.name))
        entries = [{key.decode(): value.decode() for key, value in fields.items()} for _, fields in found]
        return {entry.get("id", ""): entry for entry in entries}

    async def pending(self, subscription: Subscription, stream: str = STREAM) -> int:
        """Return how many deliveries of the stream and its inbox are in somebody's hands."""
        keys = (self.keys.events(stream), self.keys.inbox(stream, subscription.name))
        summaries = [await self.client.xpending(key, subscription.name) for key in keys]
        return sum(int(summary["pending"]) for summary in summaries)

    async def consumers(self, subscription: Subscription, stream: str = STREAM) -> set[str]:
        """Return every consumer that the groups or the heartbeats know."""
        keys = (self.keys.events(stream), self.keys.inbox(stream, subscription.name))
        names = {row["name"] for key in keys for row in await self.client.xinfo_consumers(key, subscription.name)}
        beating = await self.client.zrange(self.keys.consumers(subscription.name), 0, -1)
        return {name.decode() for name in {*names, *beating}}

    async def finished(self, subscription: Subscription, stream: str = STREAM) -> None:
        """Wait until nothing of the subscription is new, pending, scheduled or in the inbox."""
        inbox, due = self.keys.inbox(stream, subscription.name), self.keys.due(stream, subscription.name)

        async def done() -> bool:
            left = [await self.client.xlen(inbox), await self.client.zcard(due)]
            groups = await self.client.xinfo_groups(self.keys.events(stream))
            left += [row["lag"] or 0 for row in groups if row["name"] == subscription.name.encode()]
            return not any(left) and not await self.pending(subscription, stream)

        await eventually(done)

    async def ended(self, subscription: Subscription, number: int) -> None:
        """Wait until so many events are done or dead."""
        await eventually(lambda: self.count(subscription, "done") + self.count(subscription, "dead") == number)

    def count(self, subscription: Subscription, outcome: str) -> float:
        """Return how many attempts ended so."""
        labels = {"subscription": subscription.name, "outcome": outcome}
        return self.registry.get_sample_value("event_router_outcomes_total", labels) or 0.0


def running(consumer: Consumer) -> list["asyncio.Task[Any]"]:
    """Return every task of a consumer."""
    settling = [consumer._settler._task] if consumer._settler._task else []
    lanes = [lane.task for lane in consumer._executor._lanes if lane.task]
    return [*consumer._reading, *consumer._keeping, *lanes, *settling]


def subscribe(
    handler: Callable[..., Any], name: str = "sub", *, events: Sequence[str] = (STREAM,), **options: Any
) -> Subscription:
    """Return a subscription with this handler."""
    options = {"retry": Retry(max_attempts=3, first_delay=0.05, max_delay=0.05), **options}
    subscription = Subscription(name, events=events, **options)
    subscription.handler(handler)
    return subscription


class Seen:
    """A handler that remembers what it was called with."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.deliveries: list[Delivery] = []

    async def handle(self, delivery: Delivery) -> None:
        """Take note."""
        self.deliveries.append(delivery)
        self.ids.append(delivery.event.id)

    async def all_of(self, *names: str) -> None:
        """Wait until every one of these was handled."""
        await eventually(lambda: set(names) <= set(self.ids))


def history(letter: dict[str, str]) -> list[dict[str, Any]]:
    """Return the failures of a dead letter."""
    return [json.loads(line) for line in letter["history"].splitlines()]


@pytest.fixture
async def bench(store: Store, catalogue: Catalogue) -> AsyncIterator[Bench]:
    """Return a bench, and end at the end whatever still runs on it."""
    bench = Bench(store, catalogue)
    yield bench
    leftover = list(bench.alive)
    for consumer in leftover:
        bench.kill(consumer)
        await bench.bury(consumer)


@pytest.fixture
def seen() -> Seen:
    """Return a handler that remembers."""
    return Seen()


# Kinds of handlers


async def test_an_async_handler_gets_each_event_once_in_order(bench: Bench) -> None:
    """With one lane, events are handled in the order of their stream; each is then finished."""
    got: list[Event] = []

    async def handler(event: Event) -> None:
        got.append(event)

    subscription = subscribe(handler, concurrency=1)
    await bench.publish("a", "b")
    await bench.start(subscription)
    await bench.publish("c")
    await eventually(lambda: len(got) == 3)
    assert [event.id for event in got] == ["a", "b", "c"]
    assert got[0].type == "customer_changed"
    assert got[0].resource == "customer/a"
    await bench.finished(subscription)
    assert bench.count(subscription, "done") == 3


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


async def test_a_plain_function_runs_in_a_thread(bench: Bench) -> None:
    """A plain handler does not block the event loop, and sees the context variables of its task."""
    VARIABLE.set("set")
    threads: list[tuple[str, str]] = []
    together = threading.Barrier(2, timeout=10)

    def handler(_event: Event) -> None:
        together.wait()  # two of them run at once, or neither ends
        threads.append((threading.current_thread().name, VARIABLE.get()))

    subscription = subscribe(handler, concurrency=2)
    await bench.start(subscription)
    await bench.publish("a", "b")
    await bench.finished(subscription)
    await eventually(lambda: len(threads) == 2)
    assert all(name.startswith("handler-sub") and value == "set" for name, value in threads)


async def test_a_batch_handler_gets_lists(bench: Bench) -> None:
    """Events come in lists no longer than the batch size, each once; what waits is taken together."""
    batches: list[list[str]] = []

    async def handler(events: list[Event]) -> None:
        batches.append([event.id for event in events])

    names = [f"n{number}" for number in range(20)]
    await bench.publish(*names)
    subscription = subscribe(handler, concurrency=1, batch_size=6, batch_wait=0.05)
    await bench.start(subscription)
    await eventually(lambda: sum(map(len, batches)) == 20)
    await bench.finished(subscription)
    assert sorted(name for batch in batches for name in batch) == sorted(names)
    assert 1 < max(map(len, batches)) <= 6


async def test_events_that_trickle_in_make_one_batch(bench: Bench) -> None:
    """Idle lanes do not share out what a batch waits for; one that is full waits no longer."""
    batches: list[list[str]] = []

    async def handler(events: list[Event]) -> None:
        batches.append([event.id for event in events])

    subscription = subscribe(handler, concurrency=8, batch_size=6, batch_wait=60)
    consumer = await bench.start(subscription)
    names = [f"n{number}" for number in range(6)]
    for number, name in enumerate(names, 1):
        await bench.publish(name)
        await eventually(lambda number=number: consumer._executor.running in (number, 0))  # type: ignore[misc]
    await bench.finished(subscription)
    assert batches == [names]


async def test_the_results_of_a_batch_are_each_events_own(bench: Bench) -> None:
    """A batch handler may say for each event what becomes of it; a failed one comes again alone."""
    calls: list[list[tuple[str, int]]] = []

    async def handler(deliveries: list[Delivery]) -> list[Any]:
        calls.append([(delivery.event.id, delivery.attempt) for delivery in deliveries])
        verdicts = {"later": RetryLater(0.05), "dead": DeadLetter("no use"), "fine": None}
        return [None if delivery.attempt > 1 else verdicts[delivery.event.id] for delivery in deliveries]

    await bench.publish("later", "dead", "fine")
    subscription = subscribe(handler, concurrency=1, batch_size=10, batch_wait=0.1)
    await bench.start(subscription)
    await eventually(lambda: [("later", 2)] in calls)
    await bench.finished(subscription)
    assert set(await bench.dead(subscription)) == {"dead"}
    assert bench.count(subscription, "done") == 2


async def test_a_delivery_tells_the_attempt_and_the_earlier_errors(bench: Bench, seen: Seen) -> None:
    """A handler that asks for the Delivery sees which attempt it is and how the earlier ones failed."""

    async def handler(delivery: Delivery) -> None:
        await seen.handle(delivery)
        if delivery.attempt < 3:
            raise ValueError(f"failure {delivery.attempt}")

    subscription = subscribe(handler)
    await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: len(seen.ids) == 3)
    await bench.finished(subscription)
    assert [delivery.attempt for delivery in seen.deliveries] == [1, 2, 3]
    assert [delivery.subscription for delivery in seen.deliveries] == ["sub"] * 3
    errors = seen.deliveries[2].errors
    assert [(error.attempt, error.error, error.message) for error in errors] == [
        (1, "ValueError", "failure 1"),
        (2, "ValueError", "failure 2"),
    ]
    assert "raise ValueError" in errors[0].traceback
    assert errors[0].at <= errors[1].at
    assert await bench.dead(subscription) == {}


# What is subscribed to


async def test_globs_choose_the_streams(bench: Bench, seen: Seen) -> None:
    """A subscription gets the events of every stream that a glob matches, and no others."""
    subscription = subscribe(seen.handle, events=[f"{SLUG}/customer_*", f"{SLUG}/supplier_changed"])
    await bench.start(subscription)
    await bench.publish("no", stream=f"{SLUG}/account_changed")
    await bench.publish("a")
    await bench.publish("b", stream=OTHER)
    await bench.publish("c", stream=f"{SLUG}/customer_created")
    await seen.all_of("a", "b", "c")
    assert sorted(seen.ids) == ["a", "b", "c"]


async def test_a_glob_that_matches_nothing_is_refused_at_once(bench: Bench, seen: Seen) -> None:
    """A typing error in a glob is found at the start, not by events that never come."""
    with pytest.raises(UnknownStream):
        await bench.start(subscribe(seen.handle, events=["visma-net-financial/custmer_*"]))


@pytest.mark.parametrize("start", ["earliest", "latest"])
async def test_where_a_new_subscription_begins(bench: Bench, seen: Seen, start: str) -> None:
    """`earliest` takes what is there already, `latest` only what comes; a restart goes on where it was."""
    subscription = subscribe(seen.handle, start=start)
    await bench.publish("before")
    consumer = await bench.start(subscription)
    await bench.publish("after")
    await seen.all_of("after")
    await bench.finished(subscription)
    await bench.stop(consumer)
    await bench.publish("meanwhile")
    await bench.start(subscription)
    await seen.all_of("meanwhile")
    assert seen.ids == (["before"] if start == "earliest" else []) + ["after", "meanwhile"]


async def test_consumers_of_one_subscription_share(bench: Bench) -> None:
    """Each event goes to one of the consumers of a subscription, and a slow one leaves the rest to the other."""
    got: dict[str, list[str]] = {"c1": [], "c2": []}
    released = asyncio.Event()
    names = [f"n{number}" for number in range(40)]

    def handler_of(name: str) -> Callable[[Event], Any]:
        async def handler(event: Event) -> None:
            got[name].append(event.id)
            if name == "c1":
                await released.wait()

        return handler

    for name in got:
        await bench.start(subscribe(handler_of(name), concurrency=1), name)
    await bench.publish(*names)
    await eventually(lambda: len(got["c2"]) > 30)
    released.set()
    await eventually(lambda: sum(map(len, got.values())) == 40)
    assert got["c1"]
    assert Counter(got["c1"] + got["c2"]) == Counter(names)


async def test_every_subscription_gets_every_event(bench: Bench) -> None:
    """Subscriptions do not take events from each other."""
    first, second = Seen(), Seen()
    await bench.start(subscribe(first.handle, "one"))
    await bench.start(subscribe(second.handle, "two"))
    await bench.publish("a", "b")
    await first.all_of("a", "b")
    await second.all_of("a", "b")
    assert sorted(first.ids) == sorted(second.ids) == ["a", "b"]


# Limits


class Gate:
    """A handler that waits to be let go, and counts how many are inside."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = 0
        self.peak = 0
        self.total = 0
        self.entered: list[str] = []

    async def handle(self, event: Event) -> None:
        """Wait."""
        self.inside += 1
        self.total += 1
        self.entered.append(event.id)
        self.peak = max(self.peak, self.inside)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
        finally:
            self.inside -= 1


async def test_concurrency_is_reached_and_never_exceeded(bench: Bench) -> None:
    """As many handlers run at once as the subscription allows, and no more."""
    gate = Gate()
    await bench.publish(*(f"n{number}" for number in range(40)))
    subscription = subscribe(gate.handle, concurrency=4)
    await bench.start(subscription)
    await eventually(lambda: gate.inside == 4)
    gate.open.set()
    await eventually(lambda: gate.total == 40)
    await bench.finished(subscription)
    assert gate.peak == 4


async def test_concurrency_is_not_exceeded_by_suspects(bench: Bench) -> None:
    """An event whose worker died before counts among the concurrent ones: concurrency=1 is one at a time."""
    gate = Gate()
    subscription = subscribe(gate.handle, concurrency=1)
    raw = json.dumps({"event": "customer_changed"})
    inbox = bench.keys.inbox(STREAM, subscription.name)
    await bench.client.xadd(inbox, {"id": "suspect", "at": 1, "raw": raw, "crashes": 1, "history": ""})
    await bench.publish("a")
    await bench.start(subscription)
    await eventually(lambda: gate.total >= 1)
    try:
        await eventually(lambda: gate.inside == 2, timeout=1)
    except AssertionError:
        return
    raise AssertionError("two at once")


async def test_a_slow_handler_is_timed_out_and_retried(bench: Bench, seen: Seen) -> None:
    """An attempt over its time is cancelled, counts as failed, and the lane goes on."""

    async def handler(delivery: Delivery) -> None:
        await seen.handle(delivery)
        if delivery.event.id == "slow":
            await asyncio.Event().wait()

    subscription = subscribe(handler, concurrency=1, timeout=0.05, retry=Retry(2, 0.05, 0.05))
    await bench.start(subscription)
    await bench.publish("slow", "next")
    await seen.all_of("next")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    letter = (await bench.dead(subscription))["slow"]
    assert [error["error"] for error in history(letter)] == ["HandlerTimeout"] * 2
    assert "0.05 seconds" in history(letter)[0]["message"]
    assert seen.ids.count("slow") == 2


async def test_a_slow_thread_is_given_up(bench: Bench) -> None:
    """A plain function cannot be stopped: it counts as failed after the time-out, and the lane goes on."""
    release = threading.Event()
    got: list[str] = []

    def handler(event: Event) -> None:
        got.append(event.id)
        if event.id == "slow":
            release.wait(10)

    subscription = subscribe(handler, concurrency=1, timeout=0.1, retry=Retry(max_attempts=1))
    await bench.start(subscription)
    await bench.publish("slow", "next")
    await eventually(lambda: "next" in got)
    await bench.finished(subscription)
    release.set()
    assert history((await bench.dead(subscription))["slow"])[0]["error"] == "HandlerTimeout"


# Failure


async def test_retry_later_goes_through_the_schedule_and_the_inbox(bench: Bench, seen: Seen) -> None:
    """A retry waits in the schedule, pending nowhere, and comes back through the inbox, which keeps nothing of it."""

    async def handler(delivery: Delivery) -> None:
        await seen.handle(delivery)
        if delivery.attempt == 1:
            raise RetryLater(3600, "closed today")

    subscription = subscribe(handler)
    consumer = await bench.start(subscription)
    await bench.publish("a")
    due = bench.keys.due(STREAM, "sub")
    await eventually(lambda: bench.count(subscription, "retried") == 1)
    [(parked, at)] = await bench.client.zrange(due, 0, -1, withscores=True)
    assert at == pytest.approx(time.time() * 1000 + 3_600_000, abs=60_000)
    assert [entry for entry, _ in await bench.client.xrange(bench.keys.parked(STREAM, "sub"))] == [parked]
    assert await bench.pending(subscription) == 0
    await bench.client.zadd(due, {parked: 1})  # an hour later
    consumer._schedule.look_everywhere()
    await eventually(lambda: len(seen.ids) == 2)
    await bench.finished(subscription)
    assert seen.deliveries[1].attempt == 2
    assert seen.deliveries[1].errors[0].message == "closed today"
    assert await bench.client.xlen(bench.keys.parked(STREAM, "sub")) == 0


async def test_a_scheduled_retry_of_a_stopped_worker_is_promoted_by_the_next(bench: Bench, seen: Seen) -> None:
    """Retries wait in the store, not in a worker: one that starts later finds them."""

    async def handler(delivery: Delivery) -> None:
        await seen.handle(delivery)
        if delivery.attempt == 1:
            raise RetryLater(0.3)

    subscription = subscribe(handler)
    consumer = await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: bench.count(subscription, "retried") == 1)
    await bench.stop(consumer)
    await bench.start(subscription, "c2")
    await eventually(lambda: len(seen.ids) == 2)


async def test_dead_letter_gives_up_at_once(bench: Bench, seen: Seen) -> None:
    """An event that its handler gives up is dead after one attempt, for the reason given, with all its fields."""

    async def handler(delivery: Delivery) -> None:
        await seen.handle(delivery)
        raise DeadLetter("customer is gone")

    subscription = subscribe(handler)
    await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    letter = (await bench.dead(subscription))["a"]
    assert letter["reason"] == "customer is gone"
    assert letter["attempts"] == "1"
    assert json.loads(letter["raw"])["notificationId"] == "a"
    assert [(error["attempt"], error["error"]) for error in history(letter)] == [(1, "DeadLetter")]
    await bench.finished(subscription)
    assert seen.ids == ["a"]


async def test_what_a_handler_returns_is_as_good_as_raised(bench: Bench) -> None:
    """Returning DeadLetter is the same as raising it."""

    async def handler(_event: Event) -> Any:
        return DeadLetter("returned")

    subscription = subscribe(handler)
    await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    assert (await bench.dead(subscription))["a"]["reason"] == "returned"


async def test_errors_that_a_retry_cannot_mend_are_never_retried(bench: Bench) -> None:
    """`Retry(never=…)` makes an event dead at its first such error, subclasses too."""

    async def handler(_event: Event) -> None:
        raise KeyError("customer")

    subscription = subscribe(handler, retry=Retry(never=(LookupError,)))
    await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    letter = (await bench.dead(subscription))["a"]
    assert letter["reason"] == "KeyError is never retried"
    assert len(history(letter)) == 1


async def test_a_dead_letter_has_the_complete_history(bench: Bench) -> None:
    """After max_attempts the event is dead, with how each attempt failed, oldest first."""
    attempts: list[int] = []

    async def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        raise RuntimeError(f"number {delivery.attempt}")

    subscription = subscribe(handler)
    await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    letter = (await bench.dead(subscription))["a"]
    assert attempts == [1, 2, 3]
    assert letter["reason"] == "failed 3 of 3 attempts"
    assert letter["attempts"] == "3"
    assert [(error["attempt"], error["message"]) for error in history(letter)] == [
        (1, "number 1"),
        (2, "number 2"),
        (3, "number 3"),
    ]
    assert all("test_consumer.py" in error["traceback"] for error in history(letter))
    await bench.finished(subscription)
    assert bench.count(subscription, "retried") == 2


async def test_a_replayed_event_has_a_fresh_set_of_attempts(bench: Bench, seen: Seen) -> None:
    """A dead letter that is replayed starts at attempt 1, and dies again only after max_attempts more."""

    async def handler(delivery: Delivery) -> None:
        await seen.handle(delivery)
        raise RuntimeError("still broken")

    subscription = subscribe(handler, retry=Retry(max_attempts=2, first_delay=0.05, max_delay=0.05))
    await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    dead, inbox = bench.keys.dead(STREAM, "sub"), bench.keys.inbox(STREAM, "sub")
    [(entry, _)] = await bench.client.xrange(dead)
    assert await bench.store.call(scripts.replay(dead, inbox, [entry], '{"note": "replayed"}')) == 1
    await eventually(lambda: bench.count(subscription, "dead") == 2)
    assert [delivery.attempt for delivery in seen.deliveries] == [1, 2, 1, 2]
    assert len(history((await bench.dead(subscription))["a"])) == 5


async def test_a_replayed_event_shows_its_earlier_errors(bench: Bench, seen: Seen) -> None:
    """A replay keeps the history, so the Delivery of its first attempt shows the earlier errors."""
    subscription = subscribe(seen.handle)
    line = '{"at": "2025-01-01T00:00:00+00:00", "attempt": 1, "error": "E", "message": "m"}'
    fields = {"id": "a", "at": 1, "raw": '{"event": "customer_changed"}', "history": line}
    await bench.client.xadd(bench.keys.inbox(STREAM, "sub"), fields)
    await bench.start(subscription)
    await seen.all_of("a")
    assert [error.message for error in seen.deliveries[0].errors] == ["m"]


async def test_failure_stays_with_its_event(bench: Bench, seen: Seen) -> None:
    """While one event fails again and again, its neighbours in the same lane are handled."""

    async def handler(delivery: Delivery) -> None:
        if delivery.event.id == "bad":
            raise RuntimeError("bad")
        await seen.handle(delivery)

    subscription = subscribe(handler, concurrency=1)
    await bench.start(subscription)
    await bench.publish("a", "bad", "b")
    await seen.all_of("a", "b")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    assert set(await bench.dead(subscription)) == {"bad"}


async def test_a_blocked_subscription_delays_no_other(bench: Bench, seen: Seen) -> None:
    """Handlers of one subscription that hang leave the others at full speed, on the same stream too."""
    gate = Gate()
    await bench.start(subscribe(gate.handle, "blocked", concurrency=2, timeout=None))
    await bench.start(subscribe(seen.handle, "free"))
    names = [f"n{number}" for number in range(50)]
    await bench.publish(*names)
    await seen.all_of(*names)
    assert gate.total == 2
    gate.open.set()


async def test_a_handler_that_exits_does_not_stop_the_worker(bench: Bench, seen: Seen) -> None:
    """SystemExit and a cancellation of the handler's own are failures like others."""

    async def handler(delivery: Delivery) -> None:
        await seen.handle(delivery)
        if delivery.event.id == "exit":
            raise SystemExit(1)
        if delivery.event.id == "cancel":
            raise asyncio.CancelledError

    subscription = subscribe(handler, concurrency=1, retry=Retry(max_attempts=1))
    await bench.start(subscription)
    await bench.publish("exit", "cancel", "next")
    await seen.all_of("next")
    await eventually(lambda: bench.count(subscription, "dead") == 2)
    letters = await bench.dead(subscription)
    assert history(letters["exit"])[0]["error"] == "SystemExit"
    assert history(letters["cancel"])[0]["error"] == "CancelledError"


async def survives(bench: Bench, handler: Callable[..., Any], **options: Any) -> dict[str, dict[str, str]]:
    """Handle a bad event and then a good one in one lane; return the dead letters once both are settled."""
    subscription = subscribe(handler, concurrency=1, **{"retry": Retry(max_attempts=1), **options})
    await bench.start(subscription)
    await bench.publish("bad")
    await bench.publish("good")

    async def settled() -> bool:
        return not await bench.pending(subscription) and bench.count(subscription, "done") >= 1

    await eventually(settled)
    return await bench.dead(subscription)


class Unprintable(Exception):
    """An error whose text cannot be made."""

    def __str__(self) -> str:
        raise AttributeError("no text")


async def test_an_error_without_a_text_is_a_failure_like_others(bench: Bench) -> None:
    """An exception whose `__str__` raises makes its event dead, and the lane goes on."""

    async def handler(event: Event) -> None:
        if event.id == "bad":
            raise Unprintable

    assert set(await survives(bench, handler)) == {"bad"}


async def test_a_reason_that_is_not_utf8_is_stored(bench: Bench) -> None:
    """Half a surrogate pair in a text from JSON, repeated in a reason, must not hold up the settling of anything."""

    async def handler(event: Event) -> None:
        if event.id == "bad":
            raise DeadLetter("no customer \ud83d")

    assert set(await survives(bench, handler)) == {"bad"}


async def test_never_may_be_a_list(bench: Bench) -> None:
    """`Retry(never=[ValueError])` works, or is refused when it is written; it must not stop the worker."""

    async def handler(event: Event) -> None:
        if event.id == "bad":
            raise ValueError("bad")

    never: Any = [ValueError]
    assert set(await survives(bench, handler, retry=Retry(max_attempts=1, never=never))) == {"bad"}


async def test_a_handler_that_swallows_its_timeout_does_not_stop_the_lane(bench: Bench) -> None:
    """A handler may catch the cancellation of its time-out; the lane goes on, whatever the next handler does."""

    async def handler(event: Event) -> None:
        if event.id == "slow":
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        if event.id == "bad":  # something it awaits was cancelled by somebody else
            raise asyncio.CancelledError

    subscription = subscribe(handler, concurrency=1, timeout=0.05, retry=Retry(max_attempts=1))
    await bench.start(subscription)
    await bench.publish("slow", "bad", "good")
    await eventually(lambda: bench.count(subscription, "dead") >= 1)
    assert set(await bench.dead(subscription)) >= {"bad"}


# An attempt leaves nothing behind


def _cancel_myself() -> None:
    """Leave a cancellation pending in the running task."""
    task = asyncio.current_task()
    assert task
    task.cancel()


def _cancel_soon() -> None:
    """Leave a timer behind that cancels the running task, as a time-out helper does that forgets to stop it."""
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().call_later(0.01, task.cancel)


def _cancel_from_thread() -> None:
    """Let a thread cancel the running task after a while; threads do not inherit what they were started in."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task
    thread = threading.Timer(0.01, lambda: loop.call_soon_threadsafe(task.cancel))
    thread.daemon = True
    thread.start()


@pytest.mark.parametrize("leave", [_cancel_myself, _cancel_soon, _cancel_from_thread])
async def test_a_cancellation_left_behind_hits_no_later_event(bench: Bench, leave: Callable[[], None]) -> None:
    """What an attempt does to its task is over with it: the events behind it, in the same lane, are done."""
    done: list[str] = []

    async def handler(event: Event) -> None:
        if event.id == "bad":
            leave()
            return
        await asyncio.sleep(0.03)
        done.append(event.id)

    subscription = subscribe(handler, concurrency=1)
    await bench.start(subscription)
    await bench.publish("bad", "a", "b")
    await bench.ended(subscription, 3)
    assert done == ["a", "b"]
    assert bench.count(subscription, "done") == 3
    assert bench.count(subscription, "retried") == 0


async def test_a_handler_that_cancels_itself_has_failed(bench: Bench) -> None:
    """It ends in a CancelledError, which is a failed attempt; so it is where it awaits what somebody has cancelled."""

    async def handler(event: Event) -> None:
        if event.id == "self":
            _cancel_myself()
            await asyncio.sleep(60)
        if event.id == "other":
            other = asyncio.create_task(asyncio.sleep(60))
            other.cancel()
            await other

    subscription = subscribe(handler, concurrency=1, retry=Retry(max_attempts=2, first_delay=0, max_delay=0))
    await bench.start(subscription)
    await bench.publish("self", "other", "good")
    await bench.ended(subscription, 3)
    letters = await bench.dead(subscription)
    assert set(letters) == {"self", "other"}
    for letter in letters.values():
        assert [error["error"] for error in history(letter)] == ["CancelledError"] * 2
    assert bench.count(subscription, "done") == 1


async def test_an_attempt_cannot_cancel_another(bench: Bench) -> None:
    """A handler that cancels every task there is ends itself, and what it started; another event goes on."""
    release = asyncio.Event()
    running = asyncio.Event()

    async def handler(event: Event) -> None:
        if event.id == "slow":
            running.set()
            await release.wait()
        else:
            for task in asyncio.all_tasks():
                if task.get_coro().__qualname__ == "Executor._run":  # type: ignore[union-attr]
                    task.cancel()
            await asyncio.sleep(60)

    subscription = subscribe(handler, concurrency=2, retry=Retry(max_attempts=1))
    await bench.start(subscription)
    await bench.publish("slow")
    await running.wait()
    await bench.publish("bad")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    release.set()
    await bench.ended(subscription, 2)
    assert bench.count(subscription, "done") == 1
    assert set(await bench.dead(subscription)) == {"bad"}


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
async def test_an_error_whose_text_raises_anything_is_a_failure_like_others(bench: Bench, error: BaseException) -> None:
    """Whatever `__str__` of an exception raises, its event is dead, and the lane goes on."""

    class Hostile(Exception):
        def __str__(self) -> str:
            raise error

    async def handler(event: Event) -> None:
        if event.id == "bad":
            raise Hostile

    letters = await survives(bench, handler)
    assert [error["error"] for error in history(letters["bad"])] == [Hostile.__qualname__]


async def test_a_lane_that_ends_unasked_is_seen_and_opened_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its event counts a failed attempt, a metric and a warning tell of it, and the events behind are handled."""
    got: list[int] = []

    async def handler(delivery: Delivery) -> None:
        got.append(delivery.attempt)

    subscription = subscribe(handler, concurrency=1)
    consumer = await bench.start(subscription)
    run = consumer._executor._attempts.run
    ends = [asyncio.CancelledError(), GeneratorExit()]

    async def ended(lane: Any) -> None:
        if ends:
            raise ends.pop()
        await run(lane)

    monkeypatch.setattr(consumer._executor._attempts, "run", ended)
    assert consumer.warning == ""
    await bench.publish("a", "b")
    await bench.ended(subscription, 2)
    assert sorted(got) == [2, 2]
    labels = {"subscription": "sub"}
    assert bench.registry.get_sample_value("event_router_lanes_lost_total", labels) == 2
    assert "2 lanes ended by themselves" in consumer.warning


async def test_lanes_that_cannot_be_kept_open_are_reported(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that ends with nothing in hand would end again: `failed` raises, so that the process is started anew."""
    consumer = await bench.start(subscribe(Seen().handle, concurrency=1))
    seen: Any = consumer._executor

    async def broken(**_options: Any) -> None:
        raise GeneratorExit

    monkeypatch.setattr(seen._buffer, "get", broken)
    failed = asyncio.create_task(consumer.failed())
    await bench.publish("a")
    with pytest.raises(GeneratorExit):
        async with asyncio.timeout(10):
            await failed


async def test_a_loop_that_is_cancelled_is_reported(bench: Bench, seen: Seen) -> None:
    """A reader that something cancelled would never be missed: `failed` raises as for one that broke."""
    consumer = await bench.start(subscribe(seen.handle))
    failed = asyncio.create_task(consumer.failed())
    await asyncio.sleep(0)
    consumer._keeping[0].cancel()
    with pytest.raises(CutShort):
        async with asyncio.timeout(10):
            await failed


TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("TENANT", default="nobody's")


def _leave_traces() -> tuple[str, object, int]:
    """Return what the context says at the start of an attempt, and change all of it."""
    found = (TENANT.get(), structlog.contextvars.get_contextvars().get("tenant"), decimal.getcontext().prec)
    TENANT.set("another's")
    structlog.contextvars.bind_contextvars(tenant="another's")
    decimal.getcontext().prec = 3
    return found


@pytest.mark.parametrize("kind", ["async", "steps", "batch", "plain", "plain batch", "coroutine"])
async def test_each_attempt_has_a_context_of_its_own(bench: Bench, kind: str) -> None:
    """What a handler sets in context variables, in structlog's or in `decimal`'s, no later event sees."""
    found: list[tuple[str, object, int]] = []
    precision = decimal.getcontext().prec  # which also makes one, that all copies of this context share

    async def once(event: Event) -> None:
        found.append(_leave_traces())

    async def steps(event: Event) -> None:
        await asyncio.sleep(0)
        found.append(_leave_traces())
        await asyncio.sleep(0)
        assert TENANT.get() == "another's"
        assert await asyncio.create_task(_tenant()) == "another's"

    async def batch(events: list[Event]) -> None:
        await once(events[0])

    def plain(event: Event) -> None:
        found.append(_leave_traces())

    def plain_batch(events: list[Event]) -> None:
        plain(events[0])

    handlers = {"async": once, "steps": steps, "batch": batch, "plain": plain, "plain batch": plain_batch}
    handler = handlers.get(kind) or (lambda event: once(event))  # noqa: PLW0108  a plain function that returns one
    subscription = subscribe(handler, concurrency=1, batch_size=1)
    await bench.start(subscription)
    await bench.publish("a", "b", "c")
    await bench.ended(subscription, 3)
    assert found == [("nobody's", None, precision)] * 3
    assert decimal.getcontext().prec == precision


async def _tenant() -> str:
    return TENANT.get()


# Entries written by hand


HOSTILE = {
    "no id": {"raw": "{}"},
    "no raw": {"id": "x"},
    "not ours": {"something": "else"},
    "raw is not JSON": {"id": "x", "at": "1", "raw": "not JSON"},
    "raw is not UTF-8": {"id": "x", "at": "1", "raw": b"\xff\xfe"},
    "raw is no event": {"id": "x", "at": "1", "raw": "{}"},
    "thousands of fields": {f"f{number}": "v" for number in range(3000)},
    "odd numbers": {"id": "x", "at": "-5", "raw": "[]", "attempts": "many", "crashes": "1e9", "history": "nonsense"},
    "huge numbers": {"id": "x", "at": "9" * 40, "raw": "[]", "attempts": "9" * 40, "crashes": "9" * 40},
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_entry_ends_dead_with_the_reason(bench: Bench, seen: Seen, name: str) -> None:
    """An entry that somebody wrote by hand is put away with the reason, and holds up nothing."""
    subscription = subscribe(seen.handle, concurrency=1)
    await bench.client.xadd(bench.keys.events(STREAM), HOSTILE[name])
    await bench.start(subscription)
    await bench.publish("good")
    await seen.all_of("good")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    [(_, letter)] = await bench.client.xrange(bench.keys.dead(STREAM, "sub"))
    assert letter[b"reason"].startswith(b"the entry cannot be read: ")
    await bench.finished(subscription)
    assert seen.ids == ["good"]


LETHAL = {
    "a time after the year 9999": {"id": "bad", "at": "999999999999999", "raw": '{"event": "customer_changed"}'},
    "a history nested too deeply": {
        "id": "bad",
        "at": "1",
        "raw": '{"event": "customer_changed"}',
        "attempts": "1",
        "history": "[" * 100_000,
    },
}


@pytest.mark.parametrize("name", LETHAL)
async def test_a_hostile_entry_does_not_end_a_lane(bench: Bench, seen: Seen, name: str) -> None:
    """Whatever is in an entry, the lane that gets it lives on, and the entry is handled or dead."""
    subscription = subscribe(seen.handle, concurrency=1)
    await bench.client.xadd(bench.keys.events(STREAM), LETHAL[name])
    await bench.start(subscription)
    await bench.publish("good")
    await eventually(lambda: "good" in seen.ids)
    await bench.finished(subscription)


# Stopping


async def test_a_stop_gives_back_at_once_what_is_not_finished(bench: Bench, seen: Seen) -> None:
    """A stopped consumer hands what it buffered and what still runs to the others, at no cost of attempts."""
    gate = Gate()
    names = [f"n{number}" for number in range(8)]
    stopping = await bench.start(subscribe(gate.handle, concurrency=2, timeout=None), "c1", shutdown_timeout=0.1)
    await bench.publish(*names)
    await eventually(lambda: gate.inside == 2)
    subscription = subscribe(seen.handle)
    await bench.stop(stopping)
    assert gate.inside == 0
    await bench.start(subscription, "c2")
    await seen.all_of(*names)
    assert {delivery.attempt for delivery in seen.deliveries} == {1}
    assert Counter(seen.ids) == Counter(names)
    assert bench.count(subscription, "returned") >= 2


async def test_a_stop_leaves_no_consumer_behind(bench: Bench, seen: Seen) -> None:
    """After a stop neither the groups nor the heartbeats know the consumer, and nothing is pending."""
    subscription = subscribe(seen.handle)
    consumer = await bench.start(subscription, "c1")
    await bench.publish("a", "b")
    await seen.all_of("a", "b")
    assert await bench.consumers(subscription) == {"c1"}
    await bench.stop(consumer)
    assert await bench.consumers(subscription) == set()
    assert await bench.pending(subscription) == 0


async def test_a_stop_waits_for_what_runs(bench: Bench) -> None:
    """What runs may finish within the time allowed, and is then done, not given back."""
    gate = Gate()
    subscription = subscribe(gate.handle, concurrency=1)
    consumer = await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: gate.inside == 1)
    stopping = asyncio.ensure_future(bench.stop(consumer))
    await eventually(lambda: consumer._executor._stopping)
    gate.open.set()
    await stopping
    assert bench.count(subscription, "done") == 1
    assert bench.count(subscription, "returned") == 0
    assert await bench.pending(subscription) == 0


@pytest.mark.parametrize("finishes", [True, False])
async def test_a_stop_with_threads(bench: Bench, *, finishes: bool) -> None:
    """A thread may finish within the time allowed; one that does not cannot be stopped, and its event is given back."""
    inside, release = threading.Event(), threading.Event()

    def handler(_event: Event) -> None:
        inside.set()
        release.wait(10)

    subscription = subscribe(handler, concurrency=1, timeout=None)
    consumer = await bench.start(subscription, shutdown_timeout=5.0 if finishes else 0.05)
    await bench.publish("a")
    await eventually(inside.is_set)
    stopping = asyncio.ensure_future(bench.stop(consumer))
    if finishes:
        release.set()
    await stopping
    release.set()
    assert bench.count(subscription, "done" if finishes else "returned") == 1
    assert await bench.client.xlen(bench.keys.inbox(STREAM, "sub")) == (0 if finishes else 1)


async def test_a_handler_that_ignores_its_cancellation_does_not_hold_up_a_stop(bench: Bench) -> None:
    """A stop takes as long as it is allowed to, whatever a handler does about being cancelled."""
    release = asyncio.Event()

    async def handler(_event: Event) -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    subscription = subscribe(handler, concurrency=1, timeout=None)
    consumer = await bench.start(subscription, shutdown_timeout=0.1)
    await bench.publish("a")
    await eventually(lambda: any(lane.holding for lane in consumer._executor._lanes))
    stopping = asyncio.ensure_future(consumer.stop())
    done, _ = await asyncio.wait([stopping], timeout=3)
    was_stuck = consumer.stuck
    release.set()
    await stopping
    bench.alive.remove(consumer)
    assert done
    assert was_stuck
    await eventually(lambda: not consumer.stuck)


async def test_whatever_breaks_in_a_lane_counts_as_a_failed_attempt(bench: Bench, seen: Seen) -> None:
    """A fault of ours in the middle of an attempt costs the event an attempt, and neither the event nor the lane."""
    subscription = subscribe(seen.handle, concurrency=1)
    consumer = await bench.start(subscription)
    attempts = consumer._executor._attempts
    original, faults = attempts._prepare, [ZeroDivisionError()]

    def broken(held: Any) -> Any:
        if faults:
            raise faults.pop()
        return original(held)

    attempts._prepare = broken  # type: ignore[method-assign]
    await bench.publish("a")
    await seen.all_of("a")
    await bench.finished(subscription)
    assert seen.deliveries[0].attempt == 2
    assert seen.deliveries[0].errors[0].error == "ZeroDivisionError"


async def test_a_batch_that_waits_for_more_is_handled_before_the_end(bench: Bench) -> None:
    """A stop while a batch gathers lets that batch run."""
    batches: list[int] = []

    async def handler(events: list[Event]) -> None:
        batches.append(len(events))

    subscription = subscribe(handler, concurrency=1, batch_size=10, batch_wait=0.3)
    consumer = await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: any(lane.holding for lane in consumer._executor._lanes))
    await bench.stop(consumer)
    assert batches == [1]
    assert bench.count(subscription, "done") == 1


async def test_a_stop_gives_back_suspects_too(bench: Bench) -> None:
    """Suspects that wait for their turn go back to the inbox, with the crashes they have."""
    gate = Gate()
    subscription = subscribe(gate.handle, concurrency=1, timeout=None)
    inbox = bench.keys.inbox(STREAM, "sub")
    for name in ("s1", "s2", "s3"):
        fields = {"id": name, "at": 1, "raw": '{"event": "customer_changed"}', "crashes": 1, "history": ""}
        await bench.client.xadd(inbox, fields)
    consumer = await bench.start(subscription, shutdown_timeout=0.05)
    await eventually(lambda: bool(consumer.context.in_hand))
    await bench.stop(consumer)
    left = [fields for _, fields in await bench.client.xrange(inbox)]
    assert {fields[b"id"] for fields in left} == {b"s1", b"s2", b"s3"}
    assert {fields[b"crashes"] for fields in left} == {b"1"}


@pytest.mark.real
async def test_a_stop_does_not_wait_for_the_blocked_read(real_store: Store, catalogue: Catalogue, seen: Seen) -> None:
    """The server ends a blocked read on request: a stop is prompt however long reads may block."""
    bench = Bench(real_store, catalogue)
    consumer = await bench.start(subscribe(seen.handle), block=60)
    await bench.publish("a")
    await seen.all_of("a")
    async with asyncio.timeout(30):
        await bench.stop(consumer)


async def test_a_stop_ends_although_a_cancellation_is_swallowed(
    bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that goes on although it was cancelled once is ended by a stop all the same.

    On Python 3.11 `asyncio.wait_for`, by which redis-py sends every command, swallows a cancellation when what it waits
    for ends in the same turn of the loop.
    """
    consumer = await bench.start(subscribe(seen.handle), lease=SHORT)
    original = bench.store.call
    swallowing = asyncio.Event()

    async def call(argument: scripts.Call) -> Any:
        if argument.script.name == "beat" and not swallowing.is_set():
            swallowing.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return await original(argument)

    monkeypatch.setattr(bench.store, "call", call)
    await swallowing.wait()
    async with asyncio.timeout(3):
        await consumer.stop()
    bench.alive.remove(consumer)


async def test_a_stop_before_anything_came(bench: Bench, seen: Seen) -> None:
    """A consumer may be stopped right after its start, or without one."""
    subscription = subscribe(seen.handle)
    await bench.stop(await bench.start(subscription))
    assert await bench.consumers(subscription) == set()
    never = Consumer(subscription, "c9", bench.store, bench.catalogue, WorkerSettings(), bench.metrics)
    await never.stop()


# Death


async def test_what_a_vanished_consumer_held_is_recovered(bench: Bench, seen: Seen) -> None:
    """What a dead consumer had in its hands reaches another within a few leases, as a further attempt."""
    gate = Gate()
    vanishing = await bench.start(subscribe(gate.handle, concurrency=2, timeout=None), "c1", lease=SHORT)
    await bench.publish("a", "b", "c")
    await eventually(lambda: gate.inside == 2)
    bench.kill(vanishing)
    await bench.bury(vanishing)
    subscription = subscribe(seen.handle)
    await bench.start(subscription, "c2", lease=SHORT)
    await seen.all_of("a", "b", "c")
    await bench.finished(subscription)
    first = next(delivery for delivery in seen.deliveries if delivery.event.id == gate.entered[0])
    assert first.attempt >= 2
    assert first.errors[0].error == "WorkerLost"
    assert "c1" in first.errors[0].message

    async def forgotten() -> bool:
        return await bench.consumers(subscription) == {"c2"}

    await eventually(forgotten)


async def test_a_subscription_that_was_down_recovers_at_its_next_start(bench: Bench, seen: Seen) -> None:
    """When all its consumers died and even their heartbeats are gone, the first to start takes over their work."""
    gate = Gate()
    vanishing = await bench.start(subscribe(gate.handle, timeout=None), "c1", lease=SHORT)
    await bench.publish("a")
    await eventually(lambda: gate.inside == 1)
    bench.kill(vanishing)
    await bench.bury(vanishing)
    await bench.client.delete(bench.keys.consumers("sub"))
    await bench.client.xclaim(bench.keys.events(STREAM), "sub", "c1", 0, await self_pending(bench), idle=60_000)
    await bench.start(subscribe(seen.handle), "c2", lease=SHORT, sweep_interval=CALM)
    await seen.all_of("a")


async def self_pending(bench: Bench) -> list[bytes]:
    """Return the ids that are pending in the stream."""
    return [
        row["message_id"] for row in await bench.client.xpending_range(bench.keys.events(STREAM), "sub", "-", "+", 9)
    ]


async def test_a_poison_event_ends_dead_and_its_neighbours_are_handled(bench: Bench) -> None:
    """An event that kills its worker every time is delivered max_attempts times, then dead; no neighbour is blamed."""
    handled: set[str] = set()
    deliveries: list[int] = []
    died = asyncio.Event()
    subscription = Subscription(
        "sub", events=[STREAM], concurrency=4, retry=Retry(max_attempts=3, first_delay=0.05, max_delay=0.05)
    )

    @subscription.handler
    async def handler(delivery: Delivery) -> None:
        if delivery.event.id == "poison":
            deliveries.append(delivery.attempt)
            (alive,) = bench.alive  # it may still be starting
            bench.kill(alive)
            died.set()
            await asyncio.Event().wait()
        handled.add(delivery.event.id)

    names = [f"n{number}" for number in range(12)]
    await bench.publish(*names[:6], "poison", *names[6:])
    for life in range(20):
        died.clear()
        dying = await bench.start(subscription, f"life-{life}", lease=SHORT)
        buried = asyncio.ensure_future(eventually(lambda: bench.count(subscription, "dead") == 1))
        await asyncio.wait([buried, asyncio.ensure_future(died.wait())], return_when=asyncio.FIRST_COMPLETED)
        if buried.done():
            break
        buried.cancel()
        await bench.bury(dying)
    letter = (await bench.dead(subscription))["poison"]
    assert deliveries == [1, 2, 3]
    assert letter["crashes"] == "3"
    assert "worker died" in letter["reason"]
    assert [error["error"] for error in history(letter)] == ["WorkerLost"] * 3
    await eventually(lambda: handled == set(names))
    await bench.finished(subscription)
    assert set(await bench.dead(subscription)) == {"poison"}


async def test_a_consumer_that_lost_its_lease_does_not_start_what_it_lost(bench: Bench) -> None:
    """What was taken over while it waited in the buffer is not started, and counted as lost."""
    gate = Gate()
    subscription = subscribe(gate.handle, concurrency=1, timeout=None)
    consumer = await bench.start(subscription, lease=SHORT)
    await bench.publish("a")
    await eventually(lambda: gate.inside == 1)
    await consumer._readers[0].stop()
    await eventually(consumer._reading[0].done)
    await bench.publish("b")
    [first] = consumer.context.in_hand
    waiting = await buffered(bench, consumer)
    await bench.client.xclaim(bench.keys.events(STREAM), "sub", "thief", 0, [waiting.entry_id])
    await eventually(lambda: waiting.lost)
    gate.open.set()
    await eventually(lambda: first not in consumer.context.in_hand and waiting not in consumer.context.in_hand)
    assert gate.entered == ["a"]
    assert bench.count(subscription, "lost") == 1
    assert bench.count(subscription, "done") == 1


async def test_a_lost_delivery_makes_room_for_the_next(
    bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery found lost before it started leaves the hands as one that was settled does: reading goes on."""
    inbox = bench.keys.inbox(STREAM, "sub")
    original = bench.store.call

    async def stolen(call: scripts.Call) -> Any:
        if call.script.name == "mark":
            await eventually(lambda: bench.alive and bench.alive[0]._pace._room._waiters)
            await bench.client.xclaim(inbox, "sub", "thief", 0, [call.args[2]])
        return await original(call)

    monkeypatch.setattr(bench.store, "call", stolen)
    subscription = subscribe(seen.handle, concurrency=1)
    await bench.client.xadd(inbox, {"id": "lost", "at": 1, "raw": '{"event": "customer_changed"}', "crashes": 1})
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "lost") == 1)
    await bench.publish("next")
    await eventually(lambda: seen.ids == ["next"])


async def buffered(bench: Bench, consumer: Consumer) -> Any:
    """Put a delivery into a consumer's hands as its reader, which was stopped, would; return it."""
    key = bench.keys.events(STREAM)
    reply = await bench.client.execute_command(
        "XREADGROUP", "GROUP", "sub", consumer.context.consumer, "COUNT", 1, "STREAMS", key, ">"
    )
    items = consumer._readers[0]._held(dict(reply))
    consumer.context.in_hand.add(items)
    consumer._executor.put(items)
    return items[0]


# A store that has its troubles


async def flush(bench: Bench) -> None:
    """Delete everything; of a server that others use too, everything that is ours."""
    if os.environ.get(SERVER_URL):
        async for key in bench.client.scan_iter(match=f"{bench.keys.prefix}:*"):
            await bench.client.delete(key)
    else:
        await bench.client.flushall()


async def test_a_flush_while_running_mends_itself(bench: Bench, seen: Seen) -> None:
    """After FLUSHALL the groups are made again and what comes then is handled; the heartbeat is back too."""
    subscription = subscribe(seen.handle, start="latest")
    await bench.start(subscription, lease=SHORT)
    await bench.publish("before")
    await seen.all_of("before")
    await flush(bench)
    await bench.publish("after")
    await seen.all_of("after")

    async def beating() -> bool:
        return await bench.consumers(subscription) == {"c1"}

    await eventually(beating)


async def test_a_flush_with_work_in_hand(bench: Bench) -> None:
    """What runs during a flush ends as lost, and the lanes are free for what comes."""
    gate = Gate()
    subscription = subscribe(gate.handle, concurrency=1)
    consumer = await bench.start(subscription, lease=SHORT)
    await bench.publish("before")
    await eventually(lambda: gate.inside == 1)
    await flush(bench)
    gate.open.set()
    await eventually(lambda: bench.count(subscription, "lost") == 1)
    await bench.publish("after")
    await eventually(lambda: "after" in gate.entered)
    await eventually(lambda: not consumer.context.in_hand)


async def test_a_destroyed_group_is_made_again(bench: Bench, seen: Seen) -> None:
    """A group that somebody destroyed is made again at the earliest entry: at least once, not lost."""
    subscription = subscribe(seen.handle)
    await bench.start(subscription)
    await bench.publish("a")
    await seen.all_of("a")
    await bench.finished(subscription)
    await bench.client.execute_command("XGROUP", "DESTROY", bench.keys.events(STREAM), "sub")
    await bench.publish("b")
    await seen.all_of("b")
    await eventually(lambda: seen.ids.count("a") == 2)


@pytest.mark.real
async def test_cut_connections_are_made_again(real_store: Store, catalogue: Catalogue, seen: Seen) -> None:
    """After CLIENT KILL of every connection, blocked reads included, everything goes on by itself."""
    bench = Bench(real_store, catalogue)
    subscription = subscribe(seen.handle)
    consumer = await bench.start(subscription, block=60)
    await bench.publish("a")
    await seen.all_of("a")
    await bench.finished(subscription)
    names = {row["name"] for row in await bench.client.client_list()}
    assert names
    for row in await bench.client.client_list():
        if row.get("cmd", "").lower() == "xreadgroup":
            await bench.client.execute_command("CLIENT", "KILL", "ID", row["id"])
    await bench.publish("b")
    await seen.all_of("b")
    await bench.stop(consumer)
    assert seen.ids == ["a", "b"]


class Outage:
    """Makes a store fail while it lasts."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = True
        self.calls = 0
        for name in ("call", "run", "commands"):
            monkeypatch.setattr(store, name, self._failing(name, getattr(store, name)))

    def _failing(self, name: str, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def run(argument: Any) -> Any:
            if not self.on:
                return await original(argument)
            self.calls += 1
            error = RedisConnectionError("away")
            if name == "call":
                raise error
            return [error] * len(argument)

        return run


async def test_a_start_waits_for_the_store(bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that starts while the store is away begins as soon as it is back, and is not ready before."""
    outage = Outage(bench.store, monkeypatch)
    subscription = subscribe(seen.handle)
    starting = asyncio.ensure_future(bench.start(subscription))
    await eventually(lambda: outage.calls >= 2)
    assert not starting.done()
    assert not bench.alive[0].ready
    outage.on = False
    assert (await starting).ready
    await bench.publish("a")
    await seen.all_of("a")


async def test_a_worker_is_ready_once_it_has_read(bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose groups are made, but whose reads fail, is not ready; it is once they come back."""
    refused, reads = StoreRefused("CROSSSLOT Keys in request don't hash to the same slot"), 0
    run = ReadConnection.run

    async def refuse(self: ReadConnection, *command: Any) -> Any:
        nonlocal reads
        if command[0] != "XREADGROUP":
            return await run(self, *command)
        reads += 1
        raise refused

    with monkeypatch.context() as patch:
        patch.setattr(ReadConnection, "run", refuse)
        starting = asyncio.ensure_future(bench.start(subscribe(seen.handle)))
        await eventually(lambda: reads >= 2)
        assert not starting.done()
        assert not bench.alive[0].ready
    assert (await starting).ready


async def test_an_idle_worker_is_ready_at_once(bench: Bench, seen: Seen) -> None:
    """The first read does not block: a worker on empty streams is ready before the time of a block is over."""
    consumer = await asyncio.wait_for(bench.start(subscribe(seen.handle, events=["*/customer_*"]), block=5), 4)
    assert consumer.ready


async def test_a_worker_that_stops_before_it_has_read(
    bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop does not wait for a start whose reads do not come back, and leaves in order."""

    async def hang(_self: ReadConnection, *_command: Any) -> Any:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(ReadConnection, "run", hang)
        starting = asyncio.ensure_future(bench.start(subscribe(seen.handle)))
        await eventually(lambda: bench.alive and bench.alive[0]._reading)
        await end([starting])
        await bench.stop(bench.alive[0])


async def test_what_is_finished_while_the_store_is_away_is_settled_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcomes wait for the store: a finished event is done, a failed one scheduled, once each, when it is back."""
    gate = Gate()

    async def handler(event: Event) -> None:
        await gate.handle(event)
        if event.id == "bad":
            raise ValueError("bad")

    subscription = subscribe(handler, retry=Retry(max_attempts=5, first_delay=30, max_delay=30))
    consumer = await bench.start(subscription, lease=SHORT)
    await bench.publish("good", "bad")
    await eventually(lambda: gate.inside == 2)
    outage = Outage(bench.store, monkeypatch)
    gate.open.set()
    await eventually(lambda: outage.calls >= 4)
    assert len(consumer.context.in_hand) == 2
    outage.on = False
    await eventually(lambda: bench.count(subscription, "done") == bench.count(subscription, "retried") == 1)
    assert await bench.client.zcard(bench.keys.due(STREAM, "sub")) == 1
    assert sorted(gate.entered) == ["bad", "good"]


async def test_a_stop_while_the_store_is_away_ends(bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop does not wait for ever for a store that is away; the lease will free what is left."""
    subscription = subscribe(seen.handle)
    consumer = await bench.start(subscription, shutdown_timeout=0.2)
    outage = Outage(bench.store, monkeypatch)
    async with asyncio.timeout(30):
        await bench.stop(consumer)
    assert outage.calls
    outage.on = False
    await consumer._settler.drain()


async def test_a_stop_with_unsettled_work_gives_up_waiting(
    bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be settled before the end of a stop stays pending, for the next consumer to take over."""
    subscription = subscribe(seen.handle)
    consumer = await bench.start(subscription, shutdown_timeout=0.2)
    outage = Outage(bench.store, monkeypatch)
    outage.on = False
    await bench.publish("a")
    outage.on = True
    await seen.all_of("a")
    async with asyncio.timeout(30):
        await bench.stop(consumer)
    assert len(consumer.context.in_hand) == 1
    assert await bench.pending(subscription) == 1
    outage.on = False
    await consumer._settler.drain()
    assert await bench.pending(subscription) == 0


@pytest.mark.parametrize("owner", ["c1", "thief"])
async def test_what_waited_for_long_is_asked_for_before_it_starts(bench: Bench, owner: str) -> None:
    """When the heartbeats cannot have renewed a delivery for half a lease, the store says whose it is by now."""
    gate = Gate()
    subscription = subscribe(gate.handle, concurrency=1, timeout=None)
    consumer = await bench.start(subscription)
    await bench.publish("a")
    await eventually(lambda: gate.inside == 1)
    await consumer._readers[0].stop()
    await eventually(consumer._reading[0].done)
    await bench.publish("b")
    waiting = await buffered(bench, consumer)
    waiting.touched -= CALM
    await bench.client.xclaim(bench.keys.events(STREAM), "sub", owner, 0, [waiting.entry_id])
    gate.open.set()
    await eventually(lambda: not consumer.context.in_hand)
    assert gate.entered == (["a", "b"] if owner == "c1" else ["a"])
    assert bench.count(subscription, "lost") == (0 if owner == "c1" else 1)


async def test_a_suspect_waits_for_the_store_to_take_its_mark(
    bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suspect is not started before the store knows, else a crash would not count; it starts when it does."""
    inbox = bench.keys.inbox(STREAM, "sub")
    original = bench.store.call
    failures = [RedisConnectionError("away"), OSError("net"), TimeoutError()]

    async def call(argument: scripts.Call) -> Any:
        if argument.script.name == "mark" and failures:
            assert seen.ids == []
            raise failures.pop()
        return await original(argument)

    monkeypatch.setattr(bench.store, "call", call)
    await bench.client.xadd(inbox, {"id": "s", "at": 1, "raw": '{"event": "customer_changed"}', "crashes": 1})
    subscription = subscribe(seen.handle)
    await bench.start(subscription)
    await seen.all_of("s")
    await bench.finished(subscription)
    assert failures == []
    assert seen.deliveries[0].attempt == 2


async def test_a_suspect_starts_when_the_one_before_it_is_settled(
    bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the store has a suspect's outcome no other starts: one that kills the worker would charge both."""
    inbox = bench.keys.inbox(STREAM, "sub")
    original = bench.store.run
    failures = [RedisConnectionError("away"), OSError("net"), TimeoutError()]

    async def run(calls: Sequence[scripts.Call]) -> Any:
        if failures and any(call.script.name == "ack" for call in calls):
            assert seen.ids == ["first"]
            return [failures.pop()] * len(calls)
        return await original(calls)

    monkeypatch.setattr(bench.store, "run", run)
    for name in ("first", "second"):
        await bench.client.xadd(inbox, {"id": name, "at": 1, "raw": '{"event": "customer_changed"}', "crashes": 1})
    subscription = subscribe(seen.handle)
    consumer = await bench.start(subscription)
    await seen.all_of("first", "second")
    await bench.finished(subscription)
    await eventually(lambda: not consumer.context.in_hand)
    assert failures == []


async def test_a_suspect_of_a_lost_group_is_not_started(
    bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the group is gone by the time a suspect is marked, nobody owns it, and it does not start."""
    inbox = bench.keys.inbox(STREAM, "sub")
    original = bench.store.call

    async def call(argument: scripts.Call) -> Any:
        if argument.script.name == "mark":
            await bench.client.delete(inbox)
        return await original(argument)

    monkeypatch.setattr(bench.store, "call", call)
    await bench.client.xadd(inbox, {"id": "s", "at": 1, "raw": '{"event": "customer_changed"}', "crashes": 1})
    subscription = subscribe(seen.handle)
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "lost") == 1)
    await bench.publish("a")
    await seen.all_of("a")
    assert seen.ids == ["a"]


async def test_a_returning_consumer_takes_over_what_it_held(bench: Bench, seen: Seen) -> None:
    """A process that comes back under its old name has its earlier work at once, without waiting for a lease."""
    gate = Gate()
    vanishing = await bench.start(subscribe(gate.handle, timeout=None), "c1")
    await bench.publish("a")
    await eventually(lambda: gate.inside == 1)
    bench.kill(vanishing)
    await bench.bury(vanishing)
    settings = WorkerSettings(lease=CALM, block=0.1)
    subscription = subscribe(seen.handle)
    consumer = Consumer(subscription, "c1", bench.store, bench.catalogue, settings, bench.metrics, returning=True)
    bench.alive.append(consumer)
    await consumer.start()
    await seen.all_of("a")
    await bench.finished(subscription)
    assert seen.deliveries[0].attempt == 2


async def test_a_handler_cut_off_by_a_stop_is_given_back_after_its_time_out_too(bench: Bench, seen: Seen) -> None:
    """A stop in the middle of handlers leaves every event either settled or back in the inbox, none in between."""
    gate = Gate()
    names = [f"n{number}" for number in range(6)]
    stopping = await bench.start(subscribe(gate.handle, concurrency=3, timeout=0.3), "c1", shutdown_timeout=0.25)
    await bench.publish(*names)
    await eventually(lambda: gate.inside == 3)
    await bench.stop(stopping)
    await bench.start(subscribe(seen.handle), "c2")
    await seen.all_of(*names)


async def test_a_broken_loop_is_reported(bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that a loop should have survived is raised by `failed`, so that the process ends and is restarted."""
    consumer = await bench.start(subscribe(seen.handle), lease=SHORT)

    async def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(consumer._heartbeat, "extend", broken)
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(30):
            await consumer.failed()


async def test_retries_due_at_once_are_not_overlooked(bench: Bench, seen: Seen) -> None:
    """A retry may be due before the store has been told of it; none is left behind in the schedule."""

    async def handle(delivery: Delivery) -> None:
        if delivery.attempt <= 2:
            raise ValueError
        await seen.handle(delivery)

    subscription = subscribe(handle, retry=Retry(max_attempts=3, first_delay=0, max_delay=0))
    names = [f"e{number}" for number in range(60)]
    await bench.start(subscription)
    for start in range(0, len(names), 10):
        await bench.publish(*names[start : start + 10])
        await seen.all_of(*names[:start])
    await seen.all_of(*names)


async def test_the_retries_of_a_worker_that_stopped_are_watched_by_another(bench: Bench, seen: Seen) -> None:
    """A worker that leaves in good order with a retry scheduled leaves it to the live ones, not to the next sweep."""
    handled_by: list[Consumer] = []

    def handler_of(number: int) -> Callable[..., Any]:
        async def handle(delivery: Delivery) -> None:
            if delivery.event.id == "a" and delivery.attempt == 1:
                handled_by.append(consumers[number])
                raise RetryLater(1.0)
            await seen.handle(delivery)

        return handle

    consumers = [await bench.start(subscribe(handler_of(number)), f"c{number}", lease=SHORT) for number in range(2)]
    await bench.publish("first")
    await seen.all_of("first")  # by now both have looked at the schedule, as they do when they start
    await eventually(lambda: not any(consumer._schedule.watching for consumer in consumers))
    await bench.publish("a")
    await eventually(lambda: bool(handled_by))
    await bench.stop(handled_by[0])
    await seen.all_of("a")
