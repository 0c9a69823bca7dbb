"""Erasing beside workers that live: what they have in hand ends, and what is of others goes its way."""

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import pytest
from support.keyed_bench import STREAM, Bench
from support.needles import NEEDLE, OTHER, left_in_store
from support.waiting import eventually

from router.events.catalogue import Catalogue
from router.events.whose import Whose
from router.store.client import Store
from workers import DeadLetter, Delivery, Retry, Subscription
from workers.operations.erasing.compacting import Compacting
from workers.operations.erasing.erasure import Erasure
from workers.operations.erasing.found import LEFT
from workers.operations.operations import Operations
from workers.state.overview import overview

RETRY = Retry(max_attempts=3, first_delay=0.05, max_delay=0.05)


@pytest.fixture
async def bench(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """Yield a bench, and kill what is left of its consumers."""
    monkeypatch.setattr("workers.operations.erasing.lines._SILENCE", 200)
    made = Bench(store, catalogue)
    yield made
    for consumer in [*made.alive]:
        await made.kill(consumer)


class Handler:
    """Keeps what is of one company until it is let go, and ends it as it is asked to; hands all else to the bench."""

    def __init__(self, bench: Bench, outcome: BaseException | None = None) -> None:
        self.bench = bench
        self.outcome = outcome
        self.kept: list[str] = []
        self.free = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> None:
        """Handle a delivery."""
        if delivery.event.company_id == NEEDLE:
            self.kept.append(delivery.event.id)
            await self.free.wait()
            if self.outcome:
                raise self.outcome
        await self.bench.handle(delivery)


def _subscription(handler: Handler, *, keyed: bool) -> Subscription:
    key = {"key": "resource"} if keyed else {}
    subscription = Subscription("sync", events=[STREAM], concurrency=8, retry=RETRY, **key)  # type: ignore[arg-type]

    async def handle(delivery: Delivery) -> None:
        await handler(delivery)

    subscription.handler(handle)
    return subscription


def _erasure(operations: Operations, patience: float = 10.0) -> Erasure:
    change = operations.erase(Whose(company=NEEDLE))
    change.patience = patience
    return change


@pytest.mark.parametrize("keyed", [False, True], ids=["streams", "lines"])
@pytest.mark.parametrize("outcome", [None, ValueError("no"), DeadLetter("no")], ids=["done", "retried", "dead"])
async def test_what_a_worker_has_in_hand_ends(
    bench: Bench, operations: Operations, outcome: BaseException | None, *, keyed: bool
) -> None:
    """Whatever its handler comes to, it is neither tried again nor a dead letter; the others are handled once each."""
    handler = Handler(bench, outcome)
    subscription = _subscription(handler, keyed=keyed)
    await bench.start(subscription)
    await bench.publish("n1@needle-1", "n2@needle-2", "n3@needle-1", company=NEEDLE)
    await bench.publish("a1@1", "a2@2", company=OTHER)
    await eventually(lambda: len(handler.kept) >= 2 and len(bench.handled) == 2)
    result = await _erasure(operations, patience=0.0).run()
    assert (result.changed >= 3, result.counts[LEFT]) == (True, 2 if keyed else 0)
    handler.free.set()
    consumer = bench.alive[0]
    await eventually(lambda: not len(consumer.context.in_hand))
    assert await bench.dead(subscription) == {}
    assert (await _erasure(operations).run()).failed == 0
    assert await left_in_store(bench.store, b"needle") == []
    await bench.publish("a3@1", "a4@2", company=OTHER)
    await eventually(lambda: {"a3", "a4"} <= {*bench.handled})
    assert [name for name in bench.handled if name[0] == "a"] == ["a1", "a2", "a3", "a4"]
    assert len(handler.kept) == len(set(handler.kept))
    assert await bench.dead(subscription) == {}
    assert not (keyed and bench.overlaps)


@pytest.mark.parametrize("keyed", [False, True], ids=["streams", "lines"])
@pytest.mark.parametrize("again", [False, True], ids=["with-holes", "written-again"])
async def test_the_lag_stays_right(
    bench: Bench, operations: Operations, monkeypatch: pytest.MonkeyPatch, *, keyed: bool, again: bool
) -> None:
    """What was erased unread counts as nothing that waits, before and after a worker has gone past it."""
    if not again:  # as after a kill, or where the server has no memory for it
        monkeypatch.setattr(Compacting, "compact", AsyncMock(return_value=True))
    handler = Handler(bench)
    handler.free.set()
    subscription = _subscription(handler, keyed=keyed)
    consumer = await bench.start(subscription)
    await bench.publish("a1@1", company=OTHER)
    await bench.all_handled(1)
    await bench.stop(consumer)
    await bench.publish("a2@1", "a3@2", company=OTHER)
    await bench.publish("n1", "n2", "n3", company=NEEDLE)
    await bench.publish("a4@1", company=OTHER)
    assert (await _erasure(operations).run()).failed == 0

    async def figures() -> tuple[int, int, int]:
        ((way,), *_) = [seen.subscriptions for seen in await overview(bench.store, [STREAM])]
        return way.lag, way.pending, way.scheduled

    assert await figures() == (3, 0, 0)
    consumer = await bench.start(subscription)
    await bench.all_handled(4)

    async def idle() -> bool:
        return await figures() == (0, 0, 0)

    await eventually(idle)
    await bench.stop(consumer)
    await bench.publish("a5@1", "a6@1", company=OTHER)
    assert await figures() == (2, 0, 0)


@pytest.mark.parametrize("keyed", [False, True], ids=["streams", "lines"])
async def test_streams_are_written_again_under_load(bench: Bench, operations: Operations, *, keyed: bool) -> None:
    """While events come and are handled, nothing is lost, or handled twice, by a stream that takes another's place."""
    handler = Handler(bench)
    handler.free.set()
    subscription = _subscription(handler, keyed=keyed)
    for name in ("c1", "c2"):
        await bench.start(subscription, name)
    names = [f"a{number}" for number in range(300)]
    compacting, erased = Compacting(bench.store), 0

    async def publish() -> None:
        for start in range(0, len(names), 10):
            await bench.publish(*names[start : start + 10], company=OTHER)
            await bench.publish(f"n{start}", company=NEEDLE)

    publishing = asyncio.create_task(publish())
    keys = bench.keys
    while not publishing.done() or erased < 3:
        await _erasure(operations).run()
        for key in (keys.events(STREAM), keys.inbox(STREAM, "sync")):
            assert await compacting.compact(key, {})
        erased += 1
    await publishing
    await eventually(lambda: {*names} <= {*bench.handled})
    assert sorted(name for name in bench.handled if name[0] == "a") == sorted(names)
    assert not (keyed and bench.overlaps)
    await _erasure(operations).run()
    assert await left_in_store(bench.store, b"needle") == []
