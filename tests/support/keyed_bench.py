"""A bench for keyed subscriptions: a store, consumers that can be killed, and what their handlers saw."""

import asyncio
import json
import time
from collections import defaultdict
from typing import Any

from prometheus_client import CollectorRegistry
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.keys import LINES
from workers import Delivery, Subscription
from workers.consuming.consumer import Consumer
from workers.feedback import Feedback
from workers.keyed.consumer import KeyedConsumer
from workers.keyed.leftover import UnkeyedConsumer
from workers.metrics import WorkerMetrics

__all__ = ["CALM", "SHORT", "SLUG", "STREAM", "Bench"]

SLUG = "visma-net-financial"
STREAM = f"{SLUG}/customer_changed"
CALM = 60.0
"""A lease so long that nothing happens because of it."""
SHORT = 0.3
EVENTFUL = set(LINES) - {"read", "mover", "wake", "clock", "stopped"}
"""What of the lines there is only where an event waits or runs, or a key is held."""


class Bench:
    """A store, keyed consumers on it, and what their handlers saw."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.store = store
        self.client: Any = store.client
        self.keys = store.keys
        self.catalogue = catalogue
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)
        self.alive: list[Consumer] = []
        self.handled: list[str] = []
        self.running: dict[str, int] = defaultdict(int)
        self.overlaps: list[str] = []

    async def start(
        self,
        subscription: Subscription,
        name: str = "c1",
        *,
        returning: bool = False,
        feedback: Feedback | None = None,
        **options: Any,
    ) -> Consumer:
        """Start a consumer; `returning` as of Consumer."""
        options = {"lease": CALM, "block": 0.1, "sweep_interval": CALM, "shutdown_timeout": 5.0, **options}
        settings = WorkerSettings(**options)
        kind = KeyedConsumer if subscription.keyed else UnkeyedConsumer
        given = (subscription, name, self.store, self.catalogue, settings, self.metrics)
        consumer = kind(*given, returning=returning, feedback=feedback)
        self.alive.append(consumer)
        await consumer.start()
        return consumer

    async def stop(self, consumer: Consumer) -> None:
        """Stop a consumer in good order."""
        self.alive.remove(consumer)
        await consumer.stop()

    async def kill(self, consumer: Consumer) -> None:
        """Let a consumer vanish: everything that it does ends in the middle, and it tells nobody."""
        self.cut(consumer)
        for reader in consumer._readers:
            reader._stopping = True  # type: ignore[attr-defined]
        tasks = _tasks(consumer)
        while tasks := [task for task in tasks if not task.done()]:
            for task in tasks:  # the fake store's client swallows a cancellation now and then
                task.cancel()
            await asyncio.wait(tasks, timeout=0.05)
        for reader in consumer._readers:
            await reader._connection.aclose()  # type: ignore[attr-defined]
        for lane in consumer._executor._lanes:
            lane.abandon_thread()

    def cut(self, consumer: Consumer) -> None:
        """Begin to kill a consumer, also from within its handler; `kill` waits for the end of what it did."""
        if consumer in self.alive:
            self.alive.remove(consumer)
        for task in _tasks(consumer):
            task.cancel()
        for lane in consumer._executor._lanes:
            lane.close()
        consumer._executor._watchdog.stop()

    async def publish(self, *names: str, stream: str = STREAM, company: str = "1") -> None:
        """Append events as ingress does, each `ID` or `ID@CUSTOMER`."""
        fields: list[scripts.Field] = []
        markers = []
        for name in names:
            id_, _, customer = name.partition("@")
            raw = {"event": stream.partition("/")[2], "notificationId": id_, "companyId": company}
            raw["resourceUri"] = f"v1/customer/{customer or id_}"
            fields += ["id", id_, "at", int(time.time() * 1000), "raw", json.dumps(raw)]
            markers.append(self.keys.seen(stream, id_))
        await self.store.call(scripts.append(self.keys.events(stream), markers, fields, 60_000))

    async def handle(self, delivery: Delivery) -> None:
        """Note what is handled, and whether two of a key are at once."""
        key = str(delivery.event.resource)
        if self.running[key]:
            self.overlaps.append(key)
        self.running[key] += 1
        await asyncio.sleep(0)
        self.running[key] -= 1
        self.handled.append(delivery.event.id)

    async def all_handled(self, number: int) -> None:
        """Wait until so many were handled."""
        await eventually(lambda: len(self.handled) >= number)

    async def lines(self, subscription: Subscription) -> dict[str, Any]:
        """Return what the lines of a subscription hold that is not empty, by the names of LINES."""
        found = {}
        for name, key in zip(LINES, self.keys.lines(subscription.name), strict=True):
            kind = (await self.client.type(key)).decode()
            if kind == "zset":
                found[name] = dict(await self.client.zrange(key, 0, -1, withscores=True))
            elif kind == "hash":
                found[name] = await self.client.hgetall(key)
            elif kind != "none":
                found[name] = kind
        return found

    async def lines_hold(self, name: str, number: int) -> bool:
        """Return whether the lines of a subscription hold so many events."""
        return bool(await self.client.zcard(self.keys.lines(name)[0]) == number)

    async def emptied(self, subscription: Subscription) -> None:
        """Wait until no event and no key is in the lines, and nothing in the subscription's streams."""

        async def empty() -> bool:
            return not EVENTFUL & (await self.lines(subscription)).keys()

        await eventually(empty)

    async def dead(self, subscription: Subscription, stream: str = STREAM) -> dict[str, dict[str, str]]:
        """Return the dead letters of a subscription by the event's id."""
        found = await self.client.xrange(self.keys.dead(stream, subscription.name))
        entries = [{key.decode(): value.decode() for key, value in fields.items()} for _, fields in found]
        return {entry.get("id", ""): entry for entry in entries}

    def count(self, subscription: Subscription, outcome: str) -> float:
        """Return how many attempts ended so."""
        labels = {"subscription": subscription.name, "outcome": outcome}
        return self.registry.get_sample_value("event_router_outcomes_total", labels) or 0.0


def _tasks(consumer: Consumer) -> list["asyncio.Task[Any]"]:
    settling = [consumer._settler._task] if consumer._settler._task else []
    lanes = [lane.task for lane in consumer._executor._lanes if lane.task]
    return [*consumer._reading, *consumer._keeping, *lanes, *settling]
