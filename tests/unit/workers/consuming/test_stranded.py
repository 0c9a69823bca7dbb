"""Deliveries pending with a consumer that does not know of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.filling import CUSTOMERS, put_events
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers import Event, Retry, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics


class Running:
    """A consumer of one stream that notes what it handled."""

    def __init__(self, store: Store, catalogue: Catalogue, **options: Any) -> None:
        self.store, self.handled = store, list[str]()
        self.subscription = Subscription("sub", events=[CUSTOMERS], concurrency=2, retry=Retry(max_attempts=2))
        self.gate = asyncio.Event()
        self.gate.set()

        @self.subscription.handler
        async def handle(event: Event) -> None:
            await self.gate.wait()
            self.handled.append(event.id)

        settings = WorkerSettings(**{"lease": 60, "block": 0.1, "sweep_interval": 60, "shutdown_timeout": 5, **options})
        metrics = WorkerMetrics(CollectorRegistry())
        self.consumer = Consumer(self.subscription, "c1", store, catalogue, settings, metrics)

    async def strand(self) -> None:
        """Read what is new in the consumer's name, as a server does whose reply never arrives."""
        key = self.store.keys.events(CUSTOMERS)
        client: Any = self.store.client
        await client.execute_command("XREADGROUP", "GROUP", "sub", "c1", "COUNT", 300, "STREAMS", key, ">")

    async def pending(self) -> int:
        """Return how many deliveries are pending."""
        client: Any = self.store.client
        return int((await client.xpending(self.store.keys.events(CUSTOMERS), "sub"))["pending"])


@pytest.fixture
async def running(store: Store, catalogue: Catalogue) -> AsyncIterator[Running]:
    """Yield a consumer that was not started yet."""
    made = Running(store, catalogue)
    yield made
    made.gate.set()
    await made.consumer.stop()


async def paused(running: Running) -> None:
    """Let the reader stand still, waiting for room, so that it reads nothing that is to be stranded."""
    running.gate.clear()
    await put_events(running.store, "x1", "x2")
    await running.consumer.start()
    await eventually(lambda: len(running.consumer.context.in_hand) == 2)


@pytest.mark.real
async def test_a_reader_that_connects_anew_looks_for_what_it_does_not_know(
    real_store: Store, catalogue: Catalogue
) -> None:
    """Behind a new connection there may be another master, which does not know what the one before had acknowledged."""
    running = Running(real_store, catalogue)
    await paused(running)
    await put_events(running.store, "e1", "e2")
    await running.strand()
    connection: Any = running.consumer._readers[0]._connection._connection
    connection.connection._writer.transport.abort()
    running.gate.set()
    await eventually(lambda: sorted(running.handled) == ["e1", "e2", "x1", "x2"])
    await running.consumer.stop()


async def test_a_read_whose_reply_was_lost_is_found_after_the_error(running: Running) -> None:
    """What the server handed out in a reply that never came is handled once the reader has seen the error."""
    await paused(running)
    names = [f"e{number}" for number in range(250)]
    await put_events(running.store, *names)
    await running.strand()
    running.consumer._readers[0]._stranded.read_failed()
    running.gate.set()
    await eventually(lambda: set(running.handled) == {"x1", "x2", *names})

    async def nothing_pending() -> bool:
        return await running.pending() == 0

    await eventually(nothing_pending)
    assert len(running.handled) == 252


async def test_what_is_in_hand_is_not_taken_for_stranded(running: Running) -> None:
    """Deliveries that run, or were settled while the store was asked, are not handled a second time."""
    await paused(running)
    running.consumer._readers[0]._stranded.read_failed()
    assert await running.consumer._readers[0]._stranded.find() == []
    running.gate.set()
    await eventually(lambda: sorted(running.handled) == ["x1", "x2"])


async def test_it_looks_again_a_lease_later(running: Running) -> None:
    """A frozen server may do the read after the first look: a second follows one lease after the error."""
    await running.consumer.start()
    found = running.consumer._readers[0]._stranded
    before = time.monotonic()
    found.read_failed()
    assert found.due
    await eventually(lambda: not found.due)
    assert found._looks[0] == pytest.approx(before + 60, abs=5)


async def test_an_entry_that_was_deleted_is_let_go(running: Running) -> None:
    """A stranded delivery whose entry somebody deleted is acknowledged and counted as gone."""
    await paused(running)
    [entry_id] = await put_events(running.store, "gone")
    await running.strand()
    client: Any = running.store.client
    await client.xdel(running.store.keys.events(CUSTOMERS), entry_id)
    assert await running.consumer._readers[0]._stranded.find() == []
    assert await running.pending() == 2
