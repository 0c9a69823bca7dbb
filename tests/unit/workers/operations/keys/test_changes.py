"""Releasing keys and skipping their first events."""

import asyncio
import json

import pytest
from support.filling import CUSTOMERS, put_group
from support.keyed import KeyedBench

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreRefused
from workers.operations.audit import AuditLine
from workers.operations.keys.line_keys import KeySelector
from workers.operations.operations import NothingSelects, Operations
from workers.operations.removal import Removal

A, B = "/7/customer/a", "/7/customer/b"


@pytest.fixture
def bench(store: Store) -> KeyedBench:
    """Return empty lines on each kind of store."""
    return KeyedBench(store)


@pytest.fixture
async def operations(store: Store, catalogue: Catalogue) -> Operations:
    """Return the operations of the same store."""
    await put_group(store, "sync")
    return Operations(store, catalogue, Settings())


async def _dead(operations: Operations) -> list[tuple[str, str]]:
    return sorted([(letter.event_id, letter.reason) async for letter in operations.dead_letters()])


async def _audited(operations: Operations) -> list[AuditLine]:
    return [line async for line in operations.audit()]


async def test_held_keys_are_released(bench: KeyedBench, operations: Operations) -> None:
    """What is held goes on, and the audit says who let it; repeating changes nothing."""
    _, second = await bench.bring("a1", "a2", customer="a")
    await bench.hold("a")
    await bench.bring("b1", customer="b")
    change = operations.release_keys("sync")
    seen = await change.preview()
    assert [(key.key, key.state) for key in seen.sample] == [(A, "held")]
    assert (seen.number, seen.subscriptions) == (1, {"sync"})
    result = await change.run(actor="ann", reason="mended")
    assert (result.matched, result.changed, result.failed) == (1, 1, 0)
    assert second in await bench.handled()
    (line,) = await _audited(operations)
    assert (line.verb, line.subject, line.actor, line.reason) == ("keys release", "sync", "ann", "mended")
    assert (await operations.release_keys("sync").preview()).number == 0


async def test_a_key_that_is_held_again_is_not_released_by_an_earlier_look(
    bench: KeyedBench, operations: Operations
) -> None:
    """Who released a key for one dead letter has not seen the next one: that is another hold."""
    await bench.bring("a1", "a2", customer="a")
    await bench.hold("a")
    change = operations.release_keys("sync", KeySelector(key=A))
    await change.preview()
    await operations.release_keys("sync").run()
    await bench.hold("a")
    await bench.store.client.zadd(bench.lines.keys[9], {A: 1_800_000_000_000})
    result = await change.run()
    assert (result.changed, result.gone) == (0, 0)
    assert [key.state async for key in operations.keys("sync")] == ["held"]


@pytest.mark.parametrize("state", ["ready", "held", "scheduled"])
async def test_the_first_event_is_skipped(bench: KeyedBench, operations: Operations, state: str) -> None:
    """It becomes a dead letter that says who skipped it and why, and its key goes on, whatever held it up."""
    if state == "held":
        await bench.bring("a0", customer="a")
        await bench.hold("a")
    _, second = await bench.bring("a1", "a2", customer="a")
    if state == "scheduled":
        ((claim, ref, body),) = await bench.claim()
        await bench.store.call(bench.lines.retry(claim, ref, body, 60_000))
    result = await operations.skip_keys("sync", KeySelector(key=A)).run(actor="ann", reason="no such customer")
    assert (result.matched, result.changed, result.failed, result.notes) == (1, 1, 0, [])
    assert await _dead(operations) == [("a1", "skipped by ann: no such customer")]
    assert await bench.handled() == [second]
    (line,) = await _audited(operations)
    assert (line.verb, line.subject, line.selector) == ("keys skip", "sync", {"key": A})


async def test_a_skipped_dead_letter_can_be_replayed(bench: KeyedBench, operations: Operations) -> None:
    """It is a dead letter like any other: its event is there, and its place among the others of its key."""
    await bench.bring("a1", customer="a")
    await operations.skip_keys("sync", KeySelector(key=A)).run()
    ((_, fields),) = await bench.store.client.xrange(bench.store.keys.dead(CUSTOMERS, "sync"))
    assert fields[b"order"] == b"1760000000000-0"
    assert (await operations.replay_dead_letters().run()).changed == 1


async def test_what_is_skipped_in_a_second_life_is_a_dead_letter_again(
    bench: KeyedBench, operations: Operations, store: Store, catalogue: Catalogue
) -> None:
    """A subscription that was removed with its dead letters, and begins anew, may have the same event skipped again."""
    for _ in range(2):
        await KeyedBench(store).bring("a1", customer="a")
        assert (await operations.skip_keys("sync", KeySelector(key=A)).run(actor="ann")).changed == 1
        assert await _dead(operations) == [("a1", "skipped by ann")]
        await Removal(store, catalogue, Settings(), "sync", dead_letters=True).run()
        await put_group(store, "sync")


async def test_of_a_held_key_without_events_a_skip_releases(bench: KeyedBench, operations: Operations) -> None:
    """Where there is nothing to skip, the key goes on all the same."""
    await bench.bring("a1", customer="a")
    await bench.hold("a")
    assert (await operations.skip_keys("sync", KeySelector(key=A)).run()).changed == 1
    assert await _dead(operations) == []
    assert [key async for key in operations.keys("sync")] == []


async def test_what_is_merged_is_skipped_with_it(bench: KeyedBench, operations: Operations) -> None:
    """A skip ends what the next delivery would stand for: the dead letter names what was merged into it."""
    await bench.bring("a1", "a2", customer="a", merged=True)
    (last,) = await bench.bring("a3", customer="a")
    await operations.skip_keys("sync", KeySelector(key=A)).run(actor="ann")
    assert await _dead(operations) == [("a2", "skipped by ann")]
    ((_, fields),) = await bench.store.client.xrange(bench.store.keys.dead(CUSTOMERS, "sync"))
    assert b'"a1"' in fields[b"merged"]
    assert await bench.handled() == [last]


@pytest.mark.parametrize(("most", "skipped"), [(0, ["a1"]), (1, ["a1"]), (3, ["a1", "a2", "a3"])])
async def test_a_skip_takes_no_more_than_the_next_delivery_would_stand_for(
    store: Store, operations: Operations, most: int, skipped: list[str]
) -> None:
    """As many events as the workers merge end in one skip, and the others of the key are handled."""
    bench = KeyedBench(store, most=most)
    refs = await bench.bring("a1", "a2", "a3", "a4", "a5", customer="a", merged=True)
    await operations.skip_keys("sync", KeySelector(key=A)).run(actor="ann")
    assert await _dead(operations) == [(skipped[-1], "skipped by ann")]
    ((_, fields),) = await store.client.xrange(store.keys.dead(CUSTOMERS, "sync"))
    assert [id_ for id_, *_ in json.loads(fields.get(b"merged", b"[]"))] == skipped[:-1]
    assert await store.client.zcard(bench.lines.keys[0]) == len(refs) - len(skipped)


async def test_what_a_worker_has_is_left_to_it(bench: KeyedBench, operations: Operations) -> None:
    """The event that a worker handles now is not skipped, and the result says so."""
    await bench.bring("a1", customer="a")
    ((claim, ref, _),) = await bench.claim()
    result = await operations.skip_keys("sync", KeySelector(key=A)).run()
    assert (result.changed, result.failed) == (0, 1)
    assert result.notes == [f"{A} stays: a worker has it now"]
    await bench.settle(claim, ref)
    assert await _dead(operations) == []


async def test_only_what_was_seen_is_skipped(bench: KeyedBench, operations: Operations) -> None:
    """Where the event of the preview is done by now, the next one of its key is not skipped in its place."""
    first, second = await bench.bring("a1", "a2", customer="a")
    change = operations.skip_keys("sync", KeySelector(key=A))
    await change.preview()
    ((claim, ref, _),) = await bench.claim()
    assert ref == first
    await bench.settle(claim, ref)
    result = await change.run()
    assert (result.changed, result.failed) == (0, 0)
    assert await bench.handled() == [second]


async def test_many_keys_are_skipped(bench: KeyedBench, operations: Operations) -> None:
    """One event of each selected key is skipped, at most so many as asked for."""
    for number in range(25):
        await bench.bring(f"e{number:02}", f"f{number:02}", customer=f"{number:02}")
    result = await operations.skip_keys("sync", KeySelector(company="7"), most=23).run()
    assert (result.matched, result.changed) == (23, 23)
    assert [id_ for id_, _ in await _dead(operations)] == [f"e{number:02}" for number in range(23)]
    assert len(await bench.handled()) == 27


async def test_a_skip_needs_something_that_selects(operations: Operations) -> None:
    """No change skips the first event of every key there is."""
    with pytest.raises(NothingSelects):
        operations.skip_keys("sync", KeySelector())


async def test_what_the_server_refuses_stays(
    bench: KeyedBench, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the dead letters take nothing, the event stays the first of its key, which goes on at once."""
    (ref,) = await bench.bring("a1", customer="a")
    run = bench.store.run

    async def full(calls: list[object]) -> list[object]:
        if any(call.script.name == "bury" for call in calls):  # type: ignore[attr-defined]
            return [StoreRefused("OOM command not allowed")]
        return await run(calls)  # type: ignore[arg-type]

    monkeypatch.setattr(operations.store, "run", full)
    result = await operations.skip_keys("sync", KeySelector(key=A)).run()
    assert (result.changed, result.failed) == (0, 1)
    assert "OOM" in result.refusal
    ((_, claimed, body),) = await bench.claim()
    assert claimed == ref
    assert b"skipped by" in body


async def test_a_skip_that_died_is_finished_once(bench: KeyedBench, operations: Operations) -> None:
    """What an earlier skip has made a dead letter, and has not let go, becomes no second one."""
    await bench.bring("a1", customer="a")
    change = operations.skip_keys("sync", KeySelector(key=A))

    async def dies(*_: object) -> list[object]:
        raise StoreRefused("killed")

    change._settle = dies  # type: ignore[attr-defined]
    with pytest.raises(StoreRefused):
        await change.run(actor="ann")
    await bench.store.call(bench.lines.abandon("operator/"))
    assert (await operations.skip_keys("sync", KeySelector(key=A)).run(actor="bob")).changed == 1
    assert await _dead(operations) == [("a1", "skipped by ann")]
    assert await bench.handled() == []


async def test_a_release_waits_for_what_is_replayed(bench: KeyedBench, operations: Operations) -> None:
    """A key does not go on while its replayed event is on its way into the lines: what waits would overtake it."""
    await bench.bring("a1", "a2", customer="a")
    await bench.hold("a")
    inbox = bench.store.keys.inbox(CUSTOMERS, "sync")
    entry = await bench.store.client.xadd(inbox, {"id": "a1", "raw": "{}"})
    change = operations.release_keys("sync")
    change.patience = 0.0  # type: ignore[attr-defined]
    result = await change.run()
    assert (result.changed, result.failed) == (0, 1)
    assert result.notes == ["replays are on their way into the lines, which a worker has to bring: release again then"]
    assert [key.state async for key in operations.keys("sync")] == ["held"]
    releasing = asyncio.create_task(operations.release_keys("sync").run())
    await bench.store.client.xdel(inbox, entry)
    assert (await releasing).changed == 1
