"""A change: what it selects, what it does, how it ends, and its line in the audit."""

import asyncio

import pytest
from support.filling import CUSTOMERS, put_dead, put_group
from support.waiting import eventually

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.audit import AuditLine
from workers.operations.dead_letters.selector import Selector
from workers.operations.operations import NothingSelects, Operations
from workers.operations.quarantined import QuarantineSelector


@pytest.fixture
async def operations(store: Store, catalogue: Catalogue) -> Operations:
    """Return the operations of a store with 25 dead letters of `sync`."""
    await put_group(store, "sync")
    for number in range(25):
        await put_dead(store, f"e{number:02}", fields={"history": ""})
    return Operations(store, catalogue, Settings())


async def _lines(operations: Operations) -> list[AuditLine]:
    return [line async for line in operations.audit()]


async def _left(operations: Operations) -> int:
    return await operations.count_dead_letters()


async def test_a_preview_changes_nothing(operations: Operations) -> None:
    """It counts, shows the first few, and names the subscriptions; nothing is changed or audited."""
    for selector in (Selector(), Selector(text="e")):
        seen = await operations.replay_dead_letters(selector).preview(3)
        assert (seen.number, [letter.event_id for letter in seen.sample]) == (25, ["e00", "e01", "e02"])
        assert (seen.subscriptions, seen.complete) == ({"sync"}, True)
    assert (await _left(operations), await _lines(operations)) == (25, [])


async def test_what_comes_after_the_preview_is_not_changed(operations: Operations) -> None:
    """What was previewed is what is changed, whatever has died since."""
    change = operations.replay_dead_letters()
    await change.preview()
    await put_dead(operations.store, "later", fields={"history": ""})
    result = await change.run()
    assert (result.matched, result.changed, result.gone) == (25, 25, 0)
    assert [letter.event_id async for letter in operations.dead_letters()] == ["later"]


async def test_the_line_says_who_and_why(operations: Operations) -> None:
    """Each change leaves one line, with its actor, its reason, what it selects and its counts."""
    await operations.purge_dead_letters(Selector(subscription="sync"), most=2).run(actor="kari", reason="junk")
    (line,) = await _lines(operations)
    assert (line.verb, line.actor, line.reason) == ("dlq purge", "kari", "junk")
    assert line.selector == {"subscription": "sync"}
    assert (line.matched, line.changed, line.finished) == (2, 2, True)


async def test_a_rule_of_ones_own(operations: Operations) -> None:
    """`where` leaves out what it does not want, from the count and from the change."""
    change = operations.replay_dead_letters(where=lambda letter: letter.event_id < "e03")
    assert (await change.preview()).number == 3
    assert (await change.run()).changed == 3
    assert await _left(operations) == 22


async def test_it_is_stopped_between_two_batches(operations: Operations) -> None:
    """Once `stop` is set it ends, even while it waits to keep a rate, and says how far it came."""
    stop, batches = asyncio.Event(), list[int]()

    def progress(number: int) -> None:
        batches.append(number)
        stop.set()

    result = await operations.replay_dead_letters().run(rate=0.01, progress=progress, stop=stop)
    assert (batches, result.changed, result.error) == ([1], 1, "interrupted")
    (line,) = await _lines(operations)
    assert (line.matched, line.changed, line.error) == (25, 1, "interrupted")
    assert (await operations.replay_dead_letters().run()).changed == 24


async def test_a_stop_after_the_end_changes_nothing(operations: Operations) -> None:
    """One that has done all of it was not interrupted, though `stop` was set with its last batch."""
    stop = asyncio.Event()
    result = await operations.replay_dead_letters().run(progress=lambda _: stop.set(), stop=stop)
    assert (result.changed, result.error) == (25, "")


async def test_it_is_cancelled(operations: Operations) -> None:
    """A task that is cancelled while it waits leaves its line, and `result` tells how far it came."""
    change = operations.replay_dead_letters()
    task = asyncio.create_task(change.run(rate=0.01))
    await eventually(lambda: change.result.changed == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (change.result.error, [line.changed for line in await _lines(operations)]) == ("interrupted", [1])


async def test_what_a_callback_raises(operations: Operations) -> None:
    """An error on the way ends it after a batch, and is kept in the line."""

    def progress(_: int) -> None:
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        await operations.replay_dead_letters().run(rate=1, progress=progress)
    assert [(line.changed, line.error) for line in await _lines(operations)] == [(1, "ValueError: no more")]


async def test_a_purge_selects(operations: Operations) -> None:
    """Nothing purges everything because nothing was given."""
    with pytest.raises(NothingSelects):
        operations.purge_dead_letters(Selector())
    with pytest.raises(NothingSelects):
        operations.purge_quarantined(QuarantineSelector())


async def test_one_of_them(operations: Operations) -> None:
    """A single thing is found by its id; None says that there is none."""
    found = await operations.dead_letter("e07")
    assert found is not None
    assert (found.event_id, found.stream) == ("e07", CUSTOMERS)
    assert await operations.dead_letter("none") is None
    assert await operations.event("none") is None
    assert await operations.quarantined_body("none") is None


async def test_subscriptions(operations: Operations) -> None:
    """Which there are, which nobody works for, and which are paused."""
    assert await operations.subscriptions() == ["sync"]
    assert await operations.without_worker(["sync"]) == ["sync"]
    made = await operations.pause("sync", 60, actor="kari", reason="closed")
    assert await operations.paused("sync") is not None
    assert made.by == "kari"
    await operations.resume("sync", actor="kari")
    assert await operations.paused("sync") is None
    assert (await operations.remove_subscription("sync", dead_letters=True).run()).changed == 1
    assert await operations.subscriptions() == []
    verbs = [line.verb for line in await _lines(operations)]
    assert verbs == ["subscriptions remove", "subscriptions resume", "subscriptions pause"]
