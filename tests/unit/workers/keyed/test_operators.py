"""What operators change of keys, while workers handle them."""

import asyncio

import pytest
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from config.settings import Settings
from router.store.errors import StoreRefused
from router.store.keys import LINES
from router.store.lines import Lines
from workers import DeadLetter, Delivery, Retry, Subscription
from workers.operations.keys.line_keys import KeySelector
from workers.operations.operations import Operations


def _operations(bench: Bench) -> Operations:
    return Operations(bench.store, bench.catalogue, Settings())


async def _states(bench: Bench) -> list[str]:
    return [key.state async for key in _operations(bench).keys("sub")]


async def test_a_replayed_event_comes_before_those_that_its_key_held(bench: Bench) -> None:
    """What a dead letter held up waits; the letter is replayed, the key released, and all is handled in order."""
    subscription = Subscription("sub", events=[STREAM], key="resource", after_dead="hold")
    broken = True

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if broken and delivery.event.id == "a1":
            raise DeadLetter("locked")
        await bench.handle(delivery)

    await bench.publish("a1@a", "a2@a", "a3@a", "b1@b")
    await bench.start(subscription)

    async def is_held() -> bool:
        return await _states(bench) == ["held"] and bench.handled == ["b1"]

    await eventually(is_held)
    broken = False
    operations = _operations(bench)
    assert (await operations.replay_dead_letters().run()).changed == 1

    async def is_back() -> bool:
        found = await operations.key("sub", key.key)
        return found is not None and [event.id for event in found[1]] == ["a1", "a2", "a3"]

    (key,) = [key async for key in operations.keys("sub")]
    await eventually(is_back)
    assert bench.handled == ["b1"]
    assert (await operations.release_keys("sub").run(reason="unlocked")).changed == 1
    await bench.all_handled(4)
    assert bench.handled == ["b1", "a1", "a2", "a3"]


async def test_a_skipped_event_lets_its_key_go_on_at_once(bench: Bench) -> None:
    """An event that would be tried again in an hour is skipped: it is dead once, and the next is handled right away."""
    retry = Retry(max_attempts=5, first_delay=3600, max_delay=3600)
    subscription = Subscription("sub", events=[STREAM], key="resource", retry=retry)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if delivery.event.id == "a1":
            raise ValueError("not today")
        await bench.handle(delivery)

    await bench.start(subscription)
    await bench.publish("a1@a", "a2@a")

    async def is_scheduled() -> bool:
        return await _states(bench) == ["scheduled"]

    await eventually(is_scheduled)
    operations = _operations(bench)
    (key,) = [key async for key in operations.keys("sub")]
    result = await operations.skip_keys("sub", KeySelector(key=key.key)).run(actor="ann", reason="no such record")
    assert result.changed == 1
    await bench.all_handled(1)
    assert bench.handled == ["a2"]
    (letter,) = [letter async for letter in operations.dead_letters()]
    assert (letter.event_id, letter.reason, letter.used) == ("a1", "skipped by ann: no such record", 1)


@pytest.mark.parametrize("state", ["held", "waiting"])
async def test_a_skip_whose_process_died_holds_no_key(bench: Bench, state: str) -> None:
    """A worker that finishes the skip of an operator's process lets the key go on, though dead letters hold theirs.

    A key that was held before the skip stays so, as it was seen; the skip is repeated then.
    """
    subscription = Subscription("sub", events=[STREAM], key="resource", after_dead="hold")
    subscription.handler(bench.handle)
    lines, client = Lines(bench.keys, "sub"), bench.client
    await bench.publish("a1@a", "a2@a")
    paused = await _brought(bench, subscription)
    if state == "held":
        (key,) = [key async for key in _operations(bench).keys("sub")]
        await client.zadd(lines.keys[LINES.index("held")], {key.name: 1})
    operations = _operations(bench)
    skip = operations.skip_keys("sub", KeySelector(key=paused))

    async def dies(*_: object) -> list[object]:
        raise StoreRefused("killed")

    skip._settle = dies  # type: ignore[attr-defined]
    with pytest.raises(StoreRefused):
        await skip.run(actor="ann")
    await bench.store.call(lines.abandon("operator/"))
    await bench.store.call(lines.resume(b"1"))
    await bench.start(subscription, "second")
    if state == "held":
        await operations.skip_keys("sub", KeySelector(key=paused)).run(actor="bob")
    await bench.all_handled(1)
    await bench.emptied(subscription)
    assert bench.handled == ["a2"]
    assert "held" not in await bench.lines(subscription)
    letters = await bench.dead(subscription)
    assert {id_: letter["reason"] for id_, letter in letters.items()} == {"a1": "skipped by ann"}
    assert not {"skipped", "burial"} & letters["a1"].keys()


async def _brought(bench: Bench, subscription: Subscription) -> str:
    """Have a worker bring the two events while their company is paused, and end; return their key."""
    await bench.store.call(Lines(bench.keys, "sub").stop(b"1", 0))
    first = await bench.start(subscription, "first")
    await eventually(lambda: bench.lines_hold("sub", 2))
    await bench.stop(first)
    (key,) = [key async for key in _operations(bench).keys("sub")]
    return str(key.key)


async def test_a_company_is_paused_while_workers_run(bench: Bench) -> None:
    """What a paused company gets waits, the others go on; once resumed, all of it is handled without delay."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await bench.start(subscription)
    operations = _operations(bench)
    await operations.pause_company("sub", "1")
    await bench.publish("a1@a", "a2@a", company="1")
    await bench.publish("b1@b", company="2")
    await bench.all_handled(1)

    async def waits() -> bool:
        found = await operations.figures()
        counts = found.rows[0].keys
        return counts is not None and (counts.ready, counts.oldest) == (1, None)

    await eventually(waits)
    assert bench.handled == ["b1"]
    assert await operations.resume_company("sub", "1")
    await bench.all_handled(3)
    assert bench.handled == ["b1", "a1", "a2"]


async def test_a_company_is_paused_for_a_while(bench: Bench) -> None:
    """A pause of a company that has an end is over by itself, and workers know when."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await bench.start(subscription)
    began = asyncio.get_running_loop().time()
    await _operations(bench).pause_company("sub", "1", 0.5)
    await bench.publish("a1@a", company="1")
    await bench.all_handled(1)
    assert asyncio.get_running_loop().time() - began > 0.4
