"""Large events on their way through the lines: what is read, brought and claimed at once is bounded in bytes."""

import json
from typing import Any

import pytest
from support.keyed_bench import STREAM, Bench

from router.store.client import Store
from router.store.read_connection import ReadConnection
from router.store.reading import BUDGET
from router.store.scripts import Call
from workers import Delivery, Subscription

NUMBER, LENGTH = 80, 200_000
AT_ONCE = 1024 * 1024
"""Bytes that one script call may bring, and one entry more."""


def size_of(found: Any) -> int:
    """Return the bytes of all texts in a reply or among arguments."""
    if isinstance(found, str | bytes):
        return len(found)
    parts = [*found.keys(), *found.values()] if isinstance(found, dict) else found
    return sum(map(size_of, parts)) if isinstance(parts, list | tuple) else 0


async def test_what_is_moved_at_once_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a read, nor what is brought into the lines, nor a claim has more bytes than the budget."""
    sizes: dict[str, list[int]] = {}
    run, call = ReadConnection.run, Store.call

    async def watched_run(self: ReadConnection, *command: Any) -> Any:
        reply = await run(self, *command)
        sizes.setdefault("read", []).append(size_of(reply))
        return reply

    async def watched_call(self: Store, asked: Call) -> Any:
        reply = await call(self, asked)
        size = size_of(asked.args if asked.script.name == "lines/add" else reply)
        sizes.setdefault(asked.script.name, []).append(size)
        return reply

    monkeypatch.setattr(ReadConnection, "run", watched_run)
    monkeypatch.setattr(Store, "call", watched_call)
    subscription = Subscription("sub", events=[STREAM], key="resource")

    @subscription.handler
    async def sync(batch: list[Delivery]) -> None:
        bench.handled += [delivery.event.id for delivery in batch]

    for number in range(NUMBER):
        raw = {"event": "customer_changed", "resourceUri": f"v1/customer/{number}", "pad": "x" * LENGTH}
        entry = {"id": f"i{number}", "at": 1_790_000_000_000, "raw": json.dumps(raw)}
        await bench.client.xadd(bench.keys.events(STREAM), entry)
    await bench.start(subscription)
    await bench.all_handled(NUMBER)
    assert len(set(bench.handled)) == NUMBER
    assert max(sizes["read"]) <= BUDGET
    assert max(sizes["lines/add"]) <= AT_ONCE + LENGTH
    assert max(sizes["lines/claim"]) <= BUDGET
