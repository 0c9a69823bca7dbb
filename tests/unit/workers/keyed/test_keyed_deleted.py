"""What somebody deletes of the lines manually, or an evicting server: nothing hangs, and no more is lost than that."""

import asyncio
import itertools
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from router.store.keys import LINES
from workers import Coalesce, Delivery, Event, RetryLater, Subscription

QUICKLY = {"lease": 1.0, "sweep_interval": 0.1}
OPTIONS = [
    {},
    pytest.param({"per_company": 1}, marks=pytest.mark.long),
    pytest.param({"coalesce": Coalesce(quiet=0.1, within=0.2)}, marks=pytest.mark.long),
]


class Waiting:
    """Events in every state: a1 runs, a2 waits behind it, b1 is to be tried again, c1 waits for a company's room."""

    def __init__(self, bench: Bench, **options: Any) -> None:
        self.bench = bench
        self.open = asyncio.Event()
        self.tried = False
        self.seen: set[str] = set()
        self.subscription = Subscription("sub", events=[STREAM], key="resource", **options)

        @self.subscription.handler
        async def handle(delivery: Delivery) -> RetryLater | None:
            if delivery.event.id == "b1" and not self.tried:
                self.tried = True
                return RetryLater(1)
            await self.open.wait()
            self.seen.add(delivery.event.id)
            return None

    async def begin(self) -> None:
        """Return when all are where they are to be."""
        await self.bench.publish("b1@b")
        await self.bench.start(self.subscription, **QUICKLY)
        await eventually(lambda: self.tried)
        await self.bench.publish("a1@a", "a2@a", "c1@c")
        await eventually(lambda: self.bench.lines_hold("sub", 4))
        running = self.bench.keys.lines("sub")[LINES.index("running")]

        async def runs() -> bool:
            return bool(await self.bench.client.zcard(running))

        await eventually(runs)

    async def delete(self, *names: str) -> None:
        """Delete some keys of the lines."""
        for name in names:
            await self.bench.client.unlink(self.bench.keys.lines("sub")[LINES.index(name)])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", [*LINES, "all"])
async def test_a_key_of_the_lines_is_deleted(bench: Bench, name: str, options: dict[str, Any]) -> None:
    """Whichever key of the lines goes, what has its body is handled, and what comes then; nothing is left behind."""
    waiting = Waiting(bench, **options)
    await waiting.begin()
    await waiting.delete(*(LINES if name == "all" else [name]))
    waiting.open.set()
    await bench.publish("d1@d")
    await bench.emptied(waiting.subscription)
    await eventually(lambda: "d1" in waiting.seen)
    dead = await bench.dead(waiting.subscription)
    if name not in {"all", "bodies"}:
        merged = {"a1"} if "coalesce" in options else set()
        assert waiting.seen | merged >= {"a1", "a2", "b1", "c1", "d1"}
        assert not dead


@pytest.mark.parametrize(
    "pair", [*itertools.combinations(["lines", "ready", "owners", "running", "turns"], 2)], ids=str
)
async def test_two_keys_of_the_lines_are_deleted(bench: Bench, pair: tuple[str, str]) -> None:
    """So it is with two of those that say where the keys are."""
    waiting = Waiting(bench, per_company=1)
    await waiting.begin()
    await waiting.delete(*pair)
    waiting.open.set()
    await bench.publish("d1@d")
    await bench.emptied(waiting.subscription)
    await eventually(lambda: waiting.seen >= {"a1", "a2", "b1", "c1", "d1"})
    assert not await bench.dead(waiting.subscription)


async def test_what_was_mended_is_logged(bench: Bench) -> None:
    """An operator learns from the log that keys of the lines were gone."""
    waiting = Waiting(bench)
    await waiting.begin()
    with capture_logs() as logs:
        await waiting.delete("lines", "due")
        await eventually(lambda: bench.lines_hold("sub", 4))
        await eventually(lambda: any(entry["event"] == "lines_mended" for entry in logs))
    assert sum(entry["events_put_back"] for entry in logs if entry["event"] == "lines_mended") == 4
    waiting.open.set()
    await bench.emptied(waiting.subscription)


async def test_an_event_is_put_back_into_no_second_line(bench: Bench) -> None:
    """An event that stands in its line stays there alone, whatever the key function says of it by now."""
    answers, opened = {"a": "one", "b": "two"}, asyncio.Event()

    def key_of(event: Event) -> str:
        return answers[event.resource_id or ""]

    subscription = Subscription("sub", events=[STREAM], key=key_of)

    @subscription.handler
    async def handle(delivery: Delivery) -> None:
        await opened.wait()
        await bench.handle(delivery)

    await bench.start(subscription, **QUICKLY)
    await bench.publish("a1@a", "a2@a", "b1@b", "b2@b")
    await eventually(lambda: bench.lines_hold("sub", 4))
    with capture_logs() as logs:
        answers.pop("a")
        answers["b"] = "three"
        lines = bench.keys.lines("sub")[LINES.index("lines")]
        (last,) = await bench.client.zrevrange(lines, 0, 0)
        await bench.client.zrem(lines, last)
        await eventually(lambda: any(entry["event"] == "lines_mended" for entry in logs))
    assert await bench.lines_hold("sub", 4)
    opened.set()
    await bench.emptied(subscription)
    assert sorted(bench.handled) == ["a1", "a2", "b1", "b2"]
