"""Let events pass for a while with a short retention: does memory stay flat, and what does one event take.

    .venv/bin/python benchmarks/retention.py --seconds 60

Starts the embedded server in a temporary folder. First fills it with realistic events of one stream to see what an
event and its deduplication marker take. Then appends events at a rate, handles them with a no-op worker and lets its
janitor remove them after a few seconds, and prints what is there meanwhile. Exits with 1 if the memory used at the end
is more than a quarter above that after the first windows.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any, NamedTuple

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from config.settings import RetentionSettings, Settings, WorkerSettings
from router.embedded.access import open_store
from router.events.catalogue import Catalogue
from router.events.identify import Identified, identify
from router.events.samples import body, sample
from router.store import scripts
from router.store.client import Store
from router.store.record import event_fields
from workers import Event, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics
from workers.retention.janitor import Janitor

PUBLISHER = "visma-net-financial"
STREAM = f"{PUBLISHER}/customer_changed"
MIB = 1024 * 1024


class Seen(NamedTuple):
    """What is in the store at one moment."""

    memory: float
    keys: int
    length: int


def calls(store: Store, catalogue: Catalogue, number: int, window: float, random: Random) -> Iterator[scripts.Call]:
    """Yield what appends so many realistic events, as ingress does, in batches; `window` in seconds."""
    now = datetime.now(UTC)
    for start in range(0, number, scripts.BATCH):
        items = [sample(catalogue, STREAM, random, now) for _ in range(min(scripts.BATCH, number - start))]
        found = [item for each in items for item in identify(catalogue, PUBLISHER, body([each]), None)]
        events = [item for item in found if isinstance(item, Identified)]
        fields = [part for item in events for part in event_fields(item, int(now.timestamp() * 1000))]
        markers = [store.keys.seen(STREAM, item.id) for item in events]
        yield scripts.append(store.keys.events(STREAM), markers, fields, int(window * 1000))


async def look(store: Store) -> Seen:
    """Return what is in the store."""
    client: Any = store.client
    used = (await client.info("memory"))["used_memory"]
    return Seen(used / MIB, await client.dbsize(), await client.xlen(store.keys.events(STREAM)))


async def measure_sizes(store: Store, catalogue: Catalogue, number: int) -> None:
    """Print what an event and its marker take."""
    client: Any = store.client
    before = await look(store)
    for call in calls(store, catalogue, number, 3600, Random(1)):
        await store.call(call)
    both = await look(store)
    await client.delete(store.keys.events(STREAM))
    markers = await look(store)
    entry, marker = ((a.memory - b.memory) * MIB / number for a, b in ((both, markers), (markers, before)))
    print(f"an event takes {entry:.0f} bytes, its deduplication marker {marker:.0f} ({number:,} of each)")
    await client.flushall()


async def feed(
    store: Store, catalogue: Catalogue, rate: int, window: float, seconds: float, handled: Callable[[], int]
) -> int:
    """Append events at a rate a second, but no faster than they are handled; return how many once all are."""
    random, started, sent = Random(2), time.monotonic(), 0
    while (elapsed := time.monotonic() - started) < seconds or handled() < sent:
        room = rate - (sent - handled())
        missing = min(int(elapsed * rate) - sent, room) if elapsed < seconds else 0
        if missing > 0:
            await store.run(list(calls(store, catalogue, missing, window, random)))
            sent += missing
        await asyncio.sleep(0.05)
    return sent


async def watch(store: Store, metrics: WorkerMetrics, looks: list[Seen]) -> None:
    """Print once a second what is there."""
    print(f"{'second':>6} {'MiB':>8} {'keys':>8} {'stream':>8} {'trimmed':>9}")
    while True:
        await asyncio.sleep(1)
        looks.append(await look(store))
        trimmed = metrics.trimmed.labels(STREAM)._value.get()  # noqa: SLF001
        print(f"{len(looks):>6} {looks[-1].memory:>8.2f} {looks[-1].keys:>8,} {looks[-1].length:>8,} {trimmed:>9,.0f}")


async def main(seconds: float, rate: int, window: float, sized: int) -> int:
    """Run the benchmark; return the exit code."""
    handled = 0
    subscription = Subscription("noop", events=[STREAM])

    @subscription.handler
    async def noop(_event: Event) -> None:
        nonlocal handled
        handled += 1

    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Settings(data_dir=Path(folder))) as store:
            catalogue, metrics, looks = Catalogue.load(), WorkerMetrics(CollectorRegistry()), list[Seen]()
            await measure_sizes(store, catalogue, sized)
            consumer = Consumer(subscription, "w1", store, catalogue, WorkerSettings(), metrics)
            retention = RetentionSettings(interval=1, events=window)
            await consumer.start()
            async with Janitor("w1", store, catalogue, retention, metrics):
                watching = asyncio.create_task(watch(store, metrics, looks))
                sent = await feed(store, catalogue, rate, window, seconds, lambda: handled)
                watching.cancel()
            await consumer.stop()
    settled = looks[int(window) + 2 :]
    third = max(1, len(settled) // 3)
    early, late = (mean(seen.memory for seen in part) for part in (settled[:third], settled[-third:]))
    print(f"{sent:,} sent, {handled:,} handled; {early:.2f} MiB in the first third, {late:.2f} MiB in the last")
    return 0 if handled == sent and late <= early * 1.25 else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=2000, help="events a second")
    parser.add_argument("--window", type=float, default=5, help="seconds of retention and of deduplication")
    parser.add_argument("--sized", type=int, default=50_000, help="events to measure the size with")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    sys.exit(uvloop.run(main(**vars(arguments))))
