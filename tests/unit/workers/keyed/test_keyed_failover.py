"""The node that has a subscription's lines may fail over without its last writes, while the streams have them all."""

import asyncio
import json
from typing import Any

import pytest
from support.keyed_bench import SHORT, STREAM, Bench
from support.waiting import eventually

from router.store import scripts
from workers import Delivery, Subscription
from workers.keyed import mending

RAW = json.dumps(
    {"event": "customer_changed", "notificationId": "a1", "companyId": "1", "resourceUri": "v1/customer/a"}
)


class Gate:
    """A subscription whose handler waits until the gate is open."""

    def __init__(self, bench: Bench) -> None:
        self.open = asyncio.Event()
        self.subscription = Subscription("sub", events=[STREAM], key="resource")

        @self.subscription.handler
        async def handle(delivery: Delivery) -> None:
            await self.open.wait()
            await bench.handle(delivery)


@pytest.fixture
def gate(bench: Bench) -> Gate:
    """Return a closed one."""
    return Gate(bench)


@pytest.fixture(params=[False, True])
def cluster(bench: Bench, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> bool:
    """Have the store taken for a Cluster, or not."""
    monkeypatch.setattr(bench.store, "cluster", request.param)
    return bool(request.param)


async def copy_of(bench: Bench, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return what a replica has of these keys at this moment."""
    return {key: await bench.client.dump(key) for key in keys}


async def take_over(bench: Bench, copy: dict[str, Any]) -> None:
    """Have the replica take over that has this, at one moment: workers go on meanwhile."""
    async with bench.client.pipeline(transaction=True) as pipe:
        for key, value in copy.items():
            pipe.delete(key)
            if value:
                pipe.restore(key, 0, value)
        await pipe.execute()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("more", [True, False])
async def test_a_worker_that_brings_events_finds_what_a_failover_took(
    bench: Bench, gate: Gate, monkeypatch: pytest.MonkeyPatch, *, more: bool
) -> None:
    """What the lines lost is brought again by the worker that brought it: with the next event, or in a while."""
    monkeypatch.setattr(mending, "_OFTEN", 60.0 if more else 0.1)
    await bench.publish("a1@a")
    consumer = await bench.start(gate.subscription)
    await eventually(lambda: bench.lines_hold("sub", 1))
    group = bench.keys.events(STREAM)
    copy = await copy_of(bench, bench.keys.lines("sub"))
    before = await bench.client.xinfo_groups(group)
    await bench.publish("b1@a", "c1@a")
    await eventually(lambda: bench.lines_hold("sub", 3))
    await take_over(bench, copy)
    if not bench.store.cluster:
        await bench.client.xgroup_setid(group, "sub", before[0]["last-delivered-id"])
    gate.open.set()
    expected = ["a1", "b1", "c1"]
    if more:
        await bench.publish("d1@a")
        expected.append("d1")
    await eventually(lambda: set(bench.handled) >= set(expected))
    await bench.emptied(gate.subscription)
    assert list(dict.fromkeys(bench.handled)) == expected
    await bench.stop(consumer)


async def test_the_first_events_of_a_stream_are_not_lost_either(
    bench: Bench, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the lines begin is written down before anything is brought: a failover cannot make a group's place that."""
    monkeypatch.setattr(bench.store, "cluster", True)
    monkeypatch.setattr(mending, "_OFTEN", 60.0)
    first = await bench.start(gate.subscription, shutdown_timeout=SHORT)
    read = bench.keys.lines("sub")[13]

    async def begun() -> bool:
        return bool(await bench.client.hexists(read, bench.keys.events(STREAM)))

    await eventually(begun)
    copy = await copy_of(bench, bench.keys.lines("sub"))
    await bench.publish("a1@a")
    await eventually(lambda: bench.lines_hold("sub", 1))
    await bench.stop(first)
    await take_over(bench, copy)
    await bench.client.delete(bench.keys.lines("sub")[14])
    gate.open.set()
    await bench.start(gate.subscription, "second")
    await bench.all_handled(1)
    assert bench.handled == ["a1"]


@pytest.mark.parametrize("knows", [True, False])
async def test_an_inbox_lets_go_only_of_what_a_replica_of_the_lines_has(
    bench: Bench, gate: Gate, monkeypatch: pytest.MonkeyPatch, *, knows: bool
) -> None:
    """On a Cluster a replay stays in its inbox until a replica has its line, and where a failover came in between."""
    monkeypatch.setattr(bench.store, "cluster", True)
    inbox = bench.keys.inbox(STREAM, "sub")
    asked: list[tuple[Any, ...]] = []

    async def followed(commands: Any, last: tuple[Any, ...]) -> list[tuple[Any, Any]]:
        asked.append((last, await bench.client.xlen(inbox), await bench.client.zcard(bench.keys.lines("sub")[0])))
        if not knows and len(asked) == 1:
            await bench.client.delete(*(key for key in bench.keys.lines("sub") if not key.endswith("mover")))
        (reply,) = await bench.store.commands(commands)
        return [(reply, 1)]

    monkeypatch.setattr(bench.store, "followed", followed)
    await bench.start(gate.subscription, shutdown_timeout=SHORT)
    await bench.client.xadd(inbox, {"id": "a1", "at": "1", "raw": RAW})
    await eventually(lambda: len(asked) >= (1 if knows else 2))

    async def let_go() -> bool:
        return await bench.client.xlen(inbox) == 0 and await bench.lines_hold("sub", 1)

    await eventually(let_go)
    assert all(row == (("WAIT", 1, 1000), 1, 1) for row in asked)


async def test_a_script_that_is_followed_is_the_same_as_one_that_is_called(bench: Bench) -> None:
    """A script and a command after it give both replies."""
    call = scripts.delete("x", ["1-1"])
    await bench.store.call(call)
    assert await bench.store.call_followed(call, ("PING",)) == (0, True)
