"""Key functions that end their process, or do not return: the events beside theirs go on, and the subscription too."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.keyed_bench import CALM, SHORT, STREAM, Bench
from support.waiting import eventually

from router.events.catalogue import Catalogue
from workers import Event, Retry, Subscription
from workers.consuming.consumer import Consumer
from workers.keyed import key_thread
from workers.keyed.in_order import Entry
from workers.keyed.key_thread import KeyThread
from workers.keyed.keying import Keying

NAMES = ["a@a", "b@b", "bad@c", "d@d", "e@a"]
GOOD = ["a", "b", "d", "e"]


class Deadly:
    """A key function that ends its worker at one event, as `os._exit` does, or does not return from it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._loop = asyncio.get_running_loop()
        self.worker: Consumer | None = None
        self.deaths = 0
        self.tried: list[str] = []
        self.hangs = threading.Event()
        self.over = threading.Event()

    def __call__(self, event: Event) -> str:
        """Return the resource; of the bad one only once the test is over."""
        self.tried.append(event.id)
        if event.id == "bad":
            self.hangs.set()
            if self.worker is not None:
                self._loop.call_soon_threadsafe(self._die)
            self.over.wait()
        return str(event.resource)

    def _die(self) -> None:
        assert self.worker is not None
        self.deaths += 1
        self._bench.cut(self.worker)

    def subscription(self, attempts: int = 3) -> Subscription:
        """Return a subscription with this key."""
        subscription = Subscription("sub", events=[STREAM], key=self, retry=Retry(max_attempts=attempts))
        subscription.handler(self._bench.handle)
        return subscription

    async def live(self, subscription: Subscription, deaths: int) -> None:
        """Start a worker again and again, until so many have died."""
        for number in range(deaths):
            await self._live_once(subscription, f"w{number}")
        self.worker = None

    async def _live_once(self, subscription: Subscription, name: str) -> None:
        before = self.deaths
        self.worker = await self._bench.start(subscription, name, lease=SHORT)
        await eventually(lambda: self.deaths > before)
        await self._bench.kill(self.worker)


@pytest.fixture
async def deadly(bench: Bench) -> AsyncIterator[Deadly]:
    """Yield a key function whose calls end with the test."""
    deadly = Deadly(bench)
    yield deadly
    deadly.over.set()


@pytest.mark.parametrize(("attempts", "deaths"), [(1, 3), (3, 4)])
async def test_an_event_whose_key_kills_its_workers_ends_dead(
    bench: Bench, deadly: Deadly, attempts: int, deaths: int
) -> None:
    """After one death with a batch its entries are tried alone; the deadly one is dead after `max_attempts` more.

    After one death alone nothing is blamed yet. The events beside it are handled, and in order.
    """
    subscription = deadly.subscription(attempts)
    await bench.publish(*NAMES)
    await deadly.live(subscription, deaths)
    await bench.start(subscription, "last", lease=SHORT)
    await eventually(lambda: {*bench.handled} == {*GOOD})
    await bench.emptied(subscription)
    assert {*bench.handled} == {*GOOD}  # once more where a worker died with what it had done
    assert bench.handled.index("a") < bench.handled.index("e")
    assert [*(letters := await bench.dead(subscription))] == ["bad"]
    assert (
        letters["bad"]["reason"] == f"its key could not be made: {deaths - 1} workers died while the key function ran"
    )
    assert deadly.tried.count("bad") == deaths
    assert deadly.tried.count("a") == 2  # with the batch, and alone


async def test_an_event_beside_a_death_is_not_blamed(bench: Bench, deadly: Deadly) -> None:
    """A worker that dies of something else while keys are found out costs nothing: all of its batch are handled."""
    subscription = deadly.subscription()
    await bench.publish(*NAMES)
    await deadly.live(subscription, 1)
    deadly.over.set()
    await bench.start(subscription, "last", lease=SHORT)
    await bench.all_handled(len(NAMES))
    await bench.emptied(subscription)
    assert sorted(bench.handled) == sorted([*GOOD, "bad"])
    assert not await bench.dead(subscription)


async def test_a_stop_is_no_death(bench: Bench, deadly: Deadly) -> None:
    """A worker that is stopped while a key function runs has not died of it: nothing is noted, nothing is blamed."""
    subscription = deadly.subscription()
    await bench.publish(*NAMES)
    for number in range(4):
        deadly.hangs.clear()
        consumer = await bench.start(subscription, f"w{number}")
        await eventually(deadly.hangs.is_set)
        assert "trials" in await bench.lines(subscription)
        await bench.stop(consumer)
        assert "trials" not in await bench.lines(subscription)
    deadly.over.set()
    await bench.start(subscription, "last")
    await bench.all_handled(len(NAMES))
    await bench.emptied(subscription)
    assert sorted(bench.handled) == sorted([*GOOD, "bad"])


async def test_a_key_function_that_does_not_return_is_left_alone(
    bench: Bench, deadly: Deadly, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event is a dead letter after a while; the worker keeps its lease meanwhile, and what follows is handled."""
    monkeypatch.setattr(key_thread, "PATIENCE", 2.0)
    subscription = deadly.subscription()
    with capture_logs() as logged:
        await bench.start(subscription, lease=1.0)
        await bench.publish(*NAMES)
        await bench.all_handled(len(GOOD))
        await bench.emptied(subscription)
    assert sorted(bench.handled) == GOOD
    letters: dict[str, Any] = await bench.dead(subscription)
    assert [*letters] == ["bad"]
    assert letters["bad"]["reason"].endswith("the key function took longer than 2 seconds")
    assert [line["event"] for line in logged if line["event"].startswith("lines_led")] == ["lines_led"]


async def test_a_worker_goes_on_while_a_key_function_runs(bench: Bench, deadly: Deadly) -> None:
    """While a key function takes its time, what is in the lines is tried again and handled; what came behind waits."""
    subscription = Subscription(
        "sub", events=[STREAM], key=deadly, retry=Retry(max_attempts=10_000, first_delay=0.01, max_delay=0.01)
    )
    attempts: list[str] = []

    @subscription.handler
    async def sync(event: Event) -> None:
        attempts.append(event.id)
        if event.id == "a" and not deadly.over.is_set():
            raise ValueError

    await bench.publish("a@a")
    await bench.start(subscription, lease=CALM)
    await eventually(lambda: attempts)
    await bench.publish("bad@c", "z@z")
    await eventually(deadly.hangs.is_set)
    before = len(attempts)
    await eventually(lambda: len(attempts) > before + 1)
    assert {*attempts} == {"a"}
    deadly.over.set()
    await eventually(lambda: {"a", "bad", "z"} == {*attempts})
    await bench.emptied(subscription)


async def test_who_waits_for_the_thread_is_not_blamed(
    deadly: Deadly, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a Cluster several streams are brought at once: the entries of one are no later because another's hangs."""
    monkeypatch.setattr(key_thread, "PATIENCE", SHORT)
    thread = KeyThread(Keying(deadly.subscription(), catalogue), "sub")

    def entry(name: str) -> tuple[str, Entry]:
        raw = {"event": "customer_changed", "companyId": "1", "resourceUri": f"v1/customer/{name}"}
        return STREAM, Entry("source", b"1-1", {b"id": name.encode(), b"raw": json.dumps(raw).encode()}, "")

    hung, *others = await asyncio.gather(*(thread.keys_of([entry(name)]) for name in ("bad", "a", "b", "c")))
    assert hung[0].error
    assert [keyed.key for [keyed] in others] == [b"customer/a", b"customer/b", b"customer/c"]
    thread.close()
