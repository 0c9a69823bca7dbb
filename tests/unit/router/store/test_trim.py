"""What retention may remove from a stream: only what every group has finished, and only what is old enough."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.stores import fake_store, real_store

from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.reading import order_of

STREAM = "publisher/type"
HOUR = 3_600_000
WINDOW = 100 * HOUR
LARGEST = 2**64 - 1


class Place:
    """One stream, in which tests write entries of any age."""

    def __init__(self, store: Store, now: int) -> None:
        self.store = store
        self.client: Any = store.client
        self.key = store.keys.events(STREAM)
        self.now = now

    async def add(self, hours_ago: float, number: int = 0) -> str:
        """Add an entry of this age; return its id."""
        entry_id = f"{int(self.now - hours_ago * HOUR)}-{number}"
        return str((await self.client.xadd(self.key, {"raw": "x"}, id=entry_id)).decode())

    async def group(self, name: str = "g", start: str = "0") -> None:
        """Make a group."""
        await self.client.execute_command("XGROUP", "CREATE", self.key, name, start, "MKSTREAM")

    async def read(self, number: int, group: str = "g") -> list[str]:
        """Deliver entries to a group; return their ids."""
        command = ("XREADGROUP", "GROUP", group, "c", "COUNT", number, "STREAMS", self.key, ">")
        reply = await self.client.execute_command(*command) or {}
        return [entry_id.decode() for entries in reply.values() for entry_id, _ in entries]

    async def ack(self, *ids: str, group: str = "g") -> None:
        """Finish deliveries."""
        await self.store.call(scripts.ack(self.key, group, ids, inbox=False))

    async def finish(self, number: int, group: str = "g") -> None:
        """Deliver entries to a group and finish them."""
        await self.ack(*await self.read(number, group), group=group)

    async def trim(self, window: int = WINDOW) -> int:
        """Trim once; return how many entries were removed."""
        return int(await self.store.call(scripts.trim(self.key, self.store.keys.archived(STREAM), window)))

    async def trim_all(self) -> int:
        """Trim until nothing is left to remove."""
        removed = 0
        while number := await self.trim():
            removed += number
        return removed

    async def ids(self) -> list[str]:
        """Return the ids of the entries there are."""
        return [entry_id.decode() for entry_id, _ in await self.client.xrange(self.key)]


async def place_in(store: Store) -> Place:
    """Return the place in a store, by the server's clock."""
    client: Any = store.client
    seconds, micros = await client.eval("return redis.call('TIME')", 1, store.keys.events(STREAM))
    return Place(store, int(seconds) * 1000 + int(micros) // 1000)


@pytest.fixture
async def place(store: Store) -> Place:
    """Return an empty stream."""
    return await place_in(store)


async def test_nothing_there(place: Place) -> None:
    """A stream that does not exist, or is empty, is left as it is."""
    assert await place.trim() == 0
    assert await place.client.exists(place.key) == 0
    await place.group()
    assert await place.trim() == 0
    assert await place.client.exists(place.key) == 1


async def test_the_window_is_kept(place: Place) -> None:
    """Without a group age alone decides, by the server's clock: what is younger than the window stays."""
    for hours in (200, 150, 101):
        await place.add(hours)
    young = [await place.add(hours) for hours in (99, 1, 0)]
    assert await place.trim_all() == 3
    assert await place.ids() == young


@pytest.mark.parametrize("window", [0, 1, LARGEST, 10**30])
async def test_any_window(place: Place, window: int) -> None:
    """A window of next to nothing removes all that is past, and one longer than time itself removes nothing."""
    await place.add(1)
    assert await place.trim(window) == (1 if window < LARGEST else 0)


async def test_what_was_not_delivered_stays(place: Place) -> None:
    """A group that has got nothing yet keeps everything; one that read on releases what it has finished."""
    ids = [await place.add(200 - number) for number in range(4)]
    await place.group()
    assert await place.trim_all() == 0
    await place.finish(3)
    assert await place.trim_all() == 3
    assert await place.ids() == ids[3:]


async def test_what_is_pending_stays(place: Place) -> None:
    """The oldest entry in somebody's hands, and all behind it, stay."""
    ids = [await place.add(200 - number) for number in range(5)]
    await place.group()
    await place.read(5)
    await place.ack(ids[0], ids[1], ids[3])
    assert await place.trim_all() == 2
    assert await place.ids() == ids[2:]
    await place.ack(ids[2])
    assert await place.trim_all() == 2
    assert await place.ids() == ids[4:]


async def test_the_slowest_group_decides(place: Place) -> None:
    """Only what every group has finished goes, in whatever order the groups come; a destroyed one has no say."""
    ids = [await place.add(200 - number) for number in range(6)]
    for name, done in (("a", 4), ("b", 2), ("c", 5)):
        await place.group(name)
        await place.finish(done, name)
    assert await place.trim_all() == 2
    await place.client.xgroup_destroy(place.key, "b")
    assert await place.trim_all() == 2
    assert await place.ids() == ids[4:]


async def test_a_group_that_begins_with_what_comes(place: Place) -> None:
    """What was there before a group that starts with the latest is none of its business."""
    await place.add(200)
    await place.group(start="$")
    later = await place.add(150)
    assert await place.trim_all() == 1
    assert await place.ids() == [later]


async def test_pending_but_deleted(place: Place) -> None:
    """A pending entry that somebody deleted holds back nothing but, in one call, what comes after it."""
    ids = [await place.add(200 - number) for number in range(6)]
    await place.group()
    await place.read(5)
    await place.ack(ids[0], ids[2], ids[4])
    await place.client.xdel(place.key, ids[1], ids[3])
    assert await place.trim_all() == 3
    assert await place.ids() == ids[5:]


async def test_a_group_put_back(place: Place) -> None:
    """A group that is to read everything again has finished nothing, whatever it did before."""
    ids = [await place.add(200 - number) for number in range(3)]
    await place.group()
    await place.finish(3)
    await place.client.xgroup_setid(place.key, "g", "0")
    assert await place.trim_all() == 0
    await place.client.xgroup_setid(place.key, "g", ids[0])
    assert await place.trim_all() == 1


async def test_ids_made_by_hand(place: Place) -> None:
    """Ids of 64 bits are told apart to the last bit, and such a number within a millisecond is no age."""
    old = int(place.now - 200 * HOUR)
    for number in (LARGEST - 2, LARGEST - 1, LARGEST):
        await place.client.xadd(place.key, {"raw": "x"}, id=f"{old}-{number}")
    await place.group()
    await place.finish(2)
    assert await place.trim_all() == 2
    assert await place.ids() == [f"{old}-{LARGEST}"]
    await place.finish(1)
    assert await place.trim_all() == 1


async def test_ids_of_odd_times(place: Place) -> None:
    """The smallest id is old, an id of the far future is not, and a group at the last id there can be does no harm."""
    await place.client.xadd(place.key, {"raw": "x"}, id="0-1")
    await place.client.xadd(place.key, {"raw": "x"}, id=f"{2**53}-7")
    await place.client.xadd(place.key, {"raw": "x"}, id=f"{LARGEST}-{LARGEST}")
    await place.group()
    await place.finish(3)
    assert await place.trim_all() == 1
    assert await place.ids() == [f"{2**53}-7", f"{LARGEST}-{LARGEST}"]


async def test_a_big_backlog_goes_in_bounded_calls(place: Place) -> None:
    """One call removes some hundreds at the most, and calls go on until exactly what is to stay is left."""
    entries = [(f"{int(place.now - 200 * HOUR) + number}-0", number) for number in range(2345)]
    pipeline = place.client.pipeline(transaction=False)
    for entry_id, _ in entries:
        pipeline.xadd(place.key, {"raw": "x" * 90}, id=entry_id)
    await pipeline.execute()
    await place.group()
    for _ in range(23):
        await place.finish(100)
    removed = []
    while number := await place.trim():
        removed.append(number)
    assert sum(removed) == 2300
    assert max(removed) <= 500
    assert await place.ids() == [entry_id for entry_id, _ in entries[2300:]]


@pytest.mark.real
async def test_nodes_larger_than_a_call(real_store: Store) -> None:
    """Where the server keeps thousands of entries in one node, a call is bounded all the same."""
    place = await place_in(real_store)
    before = await place.client.config_get("stream-node-max-*")
    try:
        await place.client.config_set("stream-node-max-entries", 0)
        await place.client.config_set("stream-node-max-bytes", 0)
        for number in range(1234):
            await place.add(200, number)
    finally:
        for name, value in before.items():
            await place.client.config_set(name, value)
    assert [await place.trim() for _ in range(4)] == [500, 500, 234, 0]


async def test_wrong_type(place: Place) -> None:
    """A key that is no stream is an error."""
    await place.client.set(place.key, "no stream")
    with pytest.raises(StoreRefused):
        await place.trim()


# The model


class Step(NamedTuple):
    """One thing that happens to the stream: what, to which group, and how much."""

    kind: str
    group: str
    number: int


KINDS = ("append", "append", "read", "read", "ack", "retry", "dead", "create", "latest", "destroy", "delete", "setid")
STEPS = st.lists(
    st.builds(Step, st.sampled_from((*KINDS, "trim", "trim_all")), st.sampled_from("abc"), st.integers(0, 9)),
    max_size=60,
)


class Model:
    """What each group has still to finish; does each step to the model and to the store, and compares them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.entries: list[str] = []
        self.waiting: dict[str, set[str]] = {}
        self.held: dict[str, list[str]] = {}
        self.hours = 150.5
        self.number = LARGEST - 1000  # where a double could not tell two of them apart

    async def do(self, step: Step) -> None:
        """Do one step."""
        if step.kind in ("append", "create", "latest", "trim", "trim_all") or step.group in self.waiting:
            await getattr(self, step.kind)(step.group, step.number)

    async def append(self, _group: str, number: int) -> None:
        """Append an entry some hours after the one before, or within the same millisecond."""
        self.hours -= number
        self.number += 1
        added = await self.place.add(self.hours, self.number)
        self.entries.append(added)
        for waiting in self.waiting.values():
            waiting.add(added)

    async def read(self, group: str, number: int) -> None:
        """Deliver some."""
        got = await self.place.read(number + 1, group)
        assert got == sorted(self.waiting[group], key=order_of)[: number + 1]
        self.waiting[group].difference_update(got)
        self.held[group] += [entry_id for entry_id in got if entry_id not in self.held[group]]

    async def ack(self, group: str, number: int) -> None:
        """Finish one of those in hand."""
        for entry_id in self._one(group, number):
            await self.place.ack(entry_id, group=group)

    async def retry(self, group: str, number: int) -> None:
        """Put one of those in hand off."""
        keys = self.place.store.keys
        for entry_id in self._one(group, number):
            target = (keys.parked(STREAM, group), keys.due(STREAM, group), group, "c")
            await self.place.store.call(
                scripts.schedule(self.place.key, *target, entry_id, 1000, ["id", "x"], inbox=False)
            )

    async def dead(self, group: str, number: int) -> None:
        """Give one of those in hand up."""
        for entry_id in self._one(group, number):
            target = self.place.store.keys.dead(STREAM, group)
            await self.place.store.call(
                scripts.move(self.place.key, target, group, "c", entry_id, ["id", "x"], inbox=False)
            )

    async def create(self, group: str, _number: int) -> None:
        """Make a group that begins with the earliest."""
        if group not in self.waiting:
            await self.place.group(group)
            self.waiting[group], self.held[group] = set(self.entries), []

    async def latest(self, group: str, _number: int) -> None:
        """Make a group that begins with what comes."""
        if group not in self.waiting:
            await self.place.group(group, "$")
            self.waiting[group], self.held[group] = set(), []

    async def destroy(self, group: str, _number: int) -> None:
        """Remove a group."""
        await self.place.client.xgroup_destroy(self.place.key, group)
        del self.waiting[group], self.held[group]

    async def delete(self, _group: str, number: int) -> None:
        """Delete an entry by hand."""
        if self.entries:
            entry_id = self.entries[number % len(self.entries)]
            await self.place.client.xdel(self.place.key, entry_id)
            self._forget([entry_id])

    async def setid(self, group: str, number: int) -> None:
        """Let a group read again from some entry on."""
        if self.entries:
            first = self.entries[number % len(self.entries)]
            await self.place.client.xgroup_setid(self.place.key, group, first)
            self.waiting[group] = {known for known in self.entries if order_of(known) > order_of(first)}

    async def trim(self, _group: str, _number: int) -> None:
        """Trim once."""
        await self.place.trim()
        await self.compare()

    async def trim_all(self, _group: str, _number: int) -> None:
        """Trim to the end: then the oldest entry has a reason to stay."""
        await self.place.trim_all()
        await self.compare()
        assert not self.entries or not self._may_go(self.entries[0])

    async def compare(self) -> None:
        """Check that nothing went that had to stay, and take note of what went."""
        left = await self.place.ids()
        gone = self.entries[: len(self.entries) - len(left)]
        assert [*gone, *left] == self.entries
        assert all(map(self._may_go, gone))
        self._forget(gone)

    def _may_go(self, entry_id: str) -> bool:
        unfinished = (entry_id in [*self.waiting[group], *self.held[group]] for group in self.waiting)
        return order_of(entry_id)[0] < self.place.now - WINDOW and not any(unfinished)

    def _one(self, group: str, number: int) -> Sequence[str]:
        held = self.held[group]
        return [held.pop(number % len(held))] if held else []

    def _forget(self, gone: Sequence[str]) -> None:
        self.entries = [entry_id for entry_id in self.entries if entry_id not in gone]
        for waiting in self.waiting.values():
            waiting.difference_update(gone)


async def follow(opened: AbstractAsyncContextManager[Store], steps: Sequence[Step]) -> None:
    """Let a store and the model take the same steps, and trim at the end."""
    async with opened as store:
        model = Model(await place_in(store))
        for step in itertools.chain(steps, [Step("trim_all", "", 0)]):
            await model.do(step)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_nothing_unfinished_is_ever_trimmed(steps: list[Step]) -> None:
    """Whatever happened before: what a group has not finished stays, what is young stays, and the rest goes."""
    asyncio.run(follow(fake_store(), steps))


@pytest.mark.real
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_nothing_unfinished_is_ever_trimmed_by_a_server(server_url: str, steps: list[Step]) -> None:
    """The same on a real server."""
    asyncio.run(follow(real_store(server_url), steps))
