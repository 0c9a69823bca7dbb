"""The `key` of a subscription is another one after a restart: what waits by the old one gets the new one first."""

import asyncio
import functools
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

import pytest
from structlog.testing import capture_logs
from support.keyed_bench import SHORT, STREAM, Bench
from support.waiting import eventually

from router.tasks.ending import end
from workers import Delivery, Event, Subscription
from workers.keyed import rekeying
from workers.keyed.fingerprint import fingerprint

Key = Literal["resource", "company"] | Callable[[Event], str | None] | None


def by_first_letter(event: Event) -> str | None:
    """Return one key for all customers whose number begins with the same letter."""
    return (event.resource_id or "")[:1]


class Handled:
    """What was handled, in order; and which resources or companies had two handlers at once."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.open = asyncio.Event()
        self.running: dict[str, int] = defaultdict(int)
        self.most: dict[str, int] = defaultdict(int)

    def subscription(self, key: Key, **options: Any) -> Subscription:
        """Return a subscription whose handler waits until it may end."""
        subscription = Subscription("sub", events=[STREAM], key=key, **options)

        @subscription.handler
        async def handle(delivery: Delivery) -> None:
            names = (str(delivery.event.resource), (delivery.event.resource_id or "")[:1], "company")
            for name in names:
                self.running[name] += 1
                self.most[name] = max(self.most[name], self.running[name])
            await self.open.wait()
            await asyncio.sleep(0)
            self.ids.append(delivery.event.id)
            for name in names:
                self.running[name] -= 1

        return subscription


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        ("company", "resource", "customer/a1"),
        ("resource", "company", "company"),
        ("resource", by_first_letter, "a"),
        (by_first_letter, "resource", "customer/a1"),
    ],
    ids=["company-resource", "resource-company", "resource-function", "function-resource"],
)
async def test_nothing_overlaps_or_overtakes_when_the_key_is_another_one(
    bench: Bench, before: Key, after: Key, whole: str
) -> None:
    """What came by the old key and what comes by the new one are handled in order and one at a time, by the new one."""
    handled = Handled()
    old = await bench.start(handled.subscription(before), "old", shutdown_timeout=SHORT)
    await bench.publish("b1@b1", "x1@a1", "y1@a2", "x2@a1", "y2@a2", "x3@a1")
    await eventually(lambda: bench.lines_hold("sub", 6))
    handled.open.set()
    await eventually(lambda: handled.ids)
    handled.open.clear()
    await bench.stop(old)
    handled.most.clear()
    handled.running.clear()
    await bench.publish("x4@a1", "y3@a2", "x5@a1")
    handled.open.set()
    await bench.start(handled.subscription(after), "new")
    await eventually(lambda: len(set(handled.ids)) == 9)
    for customer in ("x", "y"):
        ids = [id_ for id_ in handled.ids if id_.startswith(customer)]
        assert ids == sorted(ids)
    assert handled.most[whole] == 1


async def test_what_runs_ends_before_another_key_is_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a handler of the old rule runs, nothing of any key begins; then all goes on, logged once."""
    monkeypatch.setattr(rekeying, "_LOOK_AGAIN", 0.01)
    handled = Handled()
    leader = await bench.start(handled.subscription("resource"), "leader")
    await bench.publish("x1@a1", "y1@a2", "x2@a1")
    await eventually(lambda: handled.running["a"] == 2)
    with capture_logs() as logs:
        await end([leader._keeping[-1]])  # it brings no more events, but handles what it has
        await leader._leadership.give_up()  # type: ignore[attr-defined]
        await bench.start(handled.subscription("company"), "new")
        await bench.publish("b1@b1")
        await eventually(lambda: any(entry["event"] == "keys_made_by_another_rule" for entry in logs))
        assert not handled.running["b"]
        handled.open.set()
        await eventually(lambda: len(handled.ids) == 4)
    names = [entry["event"] for entry in logs]
    assert names.count("keys_made_by_another_rule") == names.count("keys_made_again") == 1
    assert handled.ids[2:] == ["x2", "b1"]


@pytest.mark.long
async def test_workers_of_two_rules_do_not_fight(bench: Bench) -> None:
    """The rule of the one that brings events counts, until it ends: the other one only handles."""
    handled = Handled()
    first = await bench.start(handled.subscription("resource"), "first")
    await bench.publish("x1@a1", "y1@a2")
    await eventually(lambda: bench.lines_hold("sub", 2))
    with capture_logs() as logs:
        await bench.start(handled.subscription("company"), "second", lease=SHORT, sweep_interval=0.1)
        handled.open.set()
        await bench.publish("x2@a1", "y2@a2")
        await eventually(lambda: len(handled.ids) == 4)
        await bench.emptied(handled.subscription("resource"))
        assert not [entry for entry in logs if entry["event"].startswith("keys_made")]
        await bench.stop(first)
        await bench.publish("x3@a1")
        await eventually(lambda: len(handled.ids) == 5)


def test_a_rule_is_told_by_its_name_and_code() -> None:
    """Another function, another code or another version is another rule; where it stands is not."""

    def make(source: str, name: str = "f", file: str = "x.py", **attributes: object) -> Any:
        space: dict[str, Any] = {}
        exec(compile(source, file, "exec"), space)
        function = space[name]
        function.__dict__.update(attributes)
        return function

    code = "def f(event):\n    return {0}\n"
    one = make(code.format("event.id"))
    assert fingerprint(one) == fingerprint(make("\n\n" + code.format("event.id"), file="y.py"))
    others = [
        make(code.format("event.type")),
        make(code.format("event.id + 'x'")),
        make(code.format("(lambda: event.id + 'y')()")),
        make("def g(event):\n    return event.id\n", "g"),
        make(code.format("event.id"), version=2),
        functools.partial(one, 1),
        functools.partial(one, 2),
        "resource",
        "company",
        None,
    ]
    names = [fingerprint(other) for other in [one, *others]]
    assert len({*names}) == len(names)
    sets = code.format("event.id in {{'a', 'b', 'c', 'd'}}".replace("{{", "{").replace("}}", "}"))
    assert fingerprint(make(sets)) == fingerprint(make(sets))
