"""What is to be archived, and how far a stream is: only finished events, one day at a time, and never back."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.stores import fake_store

from router.store import scripts
from router.store.archiving import Archiving, Due
from router.store.client import Store
from router.store.reading import order_of

STREAM = "publisher/type"
DAY = 86_400_000
WINDOW = 3 * DAY
FIRST = 20_000 * DAY  # the beginning of a day that is long over


class Place:
    """One stream with a group, and how far it is archived."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client: Any = store.client
        self.key = store.keys.events(STREAM)
        self.scripts = Archiving(store.keys)

    async def add(self, *millis: int) -> list[str]:
        """Add entries that came at these times."""
        return [(await self.client.xadd(self.key, {"raw": "x"}, id=f"{at}-0")).decode() for at in millis]

    async def group(self, name: str = "g") -> None:
        """Make a group."""
        await self.client.execute_command("XGROUP", "CREATE", self.key, name, "0", "MKSTREAM")

    async def read(self, number: int, group: str = "g") -> list[str]:
        """Deliver entries to a group; return their ids."""
        reply = await self.client.xreadgroup(group, "c", {self.key: ">"}, count=number)
        return [entry_id.decode() for entries in reply.values() for entry_id, _ in entries]

    async def ack(self, *ids: str, group: str = "g") -> None:
        """Finish deliveries."""
        await self.store.call(scripts.ack(self.key, group, ids, inbox=False))

    async def due(self, window: int = WINDOW) -> Due:
        """Look what is to be archived."""
        return Due.parse(await self.store.call(self.scripts.next(STREAM, window)))

    async def plan(self, due: Due, last: str = "") -> bool:
        """Settle an object of what is due, or of some of it."""
        return bool(await self.store.call(self.scripts.plan(STREAM, due.position, due.first, last or due.last)))

    async def confirm(self, due: Due, last: str = "") -> bool:
        """Say that it is in the archive."""
        return bool(await self.store.call(self.scripts.confirm(STREAM, due.position, last or due.last, 1)))

    async def trim(self) -> int:
        """Trim all that may be trimmed."""
        call = scripts.trim(self.key, self.store.keys.archived(STREAM), 1, only_archived=True)
        removed = 0
        while number := int(await self.store.call(call)):
            removed += number
        return removed


@pytest.fixture
def place(store: Store) -> Place:
    """Return a place."""
    return Place(store)


async def test_nothing_is_due_of_an_empty_stream(place: Place) -> None:
    """A stream without entries has nothing to archive, and from now on nothing of it is trimmed unarchived."""
    assert await place.due() == Due("0-0", "", "", planned=False, overdue=0)
    await place.add(FIRST)
    assert await place.trim() == 0


async def test_a_day_at_a_time(place: Place) -> None:
    """What is due ends with the day of the first entry that is not archived."""
    ids = await place.add(FIRST, FIRST + DAY - 1, FIRST + DAY, FIRST + 5 * DAY)
    due = await place.due()
    assert (due.position, due.first, due.last, due.planned) == ("0-0", ids[0], ids[1], False)
    assert due.overdue > DAY
    assert await place.plan(due)
    assert await place.confirm(due)
    due = await place.due()
    assert (due.position, due.first, due.last) == (ids[1], ids[2], ids[2])


async def test_what_a_group_has_not_finished_is_not_due(place: Place) -> None:
    """Neither what a group holds, nor what it was not given, nor what comes behind that."""
    await place.group()
    await place.group("other")
    ids = await place.add(FIRST, FIRST + 1, FIRST + 2, FIRST + 3)
    assert not (await place.due()).first
    await place.ack(*await place.read(4, "other"), group="other")
    assert not (await place.due()).first
    held = await place.read(3)
    await place.ack(held[0], held[2])
    assert (await place.due()).last == ids[0]
    await place.ack(held[1])
    assert (await place.due()).last == ids[2]


async def test_the_present_day_is_due_where_it_would_be_trimmed(place: Place) -> None:
    """A day that is not over is due once its oldest entry is as old as events may be, and then all that is finished."""
    seconds, micros = await place.client.eval("return redis.call('TIME')", 1, place.key)
    now = int(seconds) * 1000 + int(micros) // 1000
    today = now - now % DAY
    ids = await place.add(max(today, now - 2000), max(today, now - 1000) + 1)
    assert not (await place.due()).first
    assert (await place.due(window=1)).last == ids[1]


async def test_an_object_that_was_planned_stays_as_it_is(place: Place) -> None:
    """Whatever is finished later, the object that was begun has the same entries, until it is confirmed."""
    ids = await place.add(FIRST, FIRST + 1, FIRST + 2)
    due = await place.due()
    assert await place.plan(due, ids[1])
    again = await place.due()
    assert (again.first, again.last, again.planned) == (ids[0], ids[1], True)
    assert not await place.plan(due, ids[2])
    assert await place.plan(due, ids[1])
    assert not await place.confirm(due, ids[2])
    assert await place.confirm(due, ids[1])
    assert not await place.confirm(due, ids[1])
    assert not await place.plan(due, ids[1])
    assert (await place.due()).first == ids[2]


async def test_what_is_planned_is_not_trimmed(place: Place) -> None:
    """An object counts once it is confirmed: before that its entries stay."""
    ids = await place.add(FIRST, FIRST + 1, FIRST + 2)
    due = await place.due()
    await place.plan(due, ids[1])
    assert await place.trim() == 0
    await place.confirm(due, ids[1])
    assert await place.trim() == 2


async def test_a_stream_that_is_not_archived_is_trimmed_by_others_alone(place: Place) -> None:
    """Without a position a worker with an archive trims nothing, and one without trims by age."""
    await place.add(FIRST)
    assert await place.trim() == 0
    assert await place.store.call(scripts.trim(place.key, place.store.keys.archived(STREAM), 1)) == 1


class Story:
    """Events that come and are finished, and an archiver that may stop after any of its steps."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.at = FIRST
        self.added, self.pending, self.position = list[str](), list[str](), "0-0"
        self.objects, self.written = dict[tuple[str, str], list[str]](), set[str]()
        self.begun: Due | None = None

    async def _entries(self, first: str, last: str) -> list[str]:
        return [entry.decode() for entry, _ in await self.place.client.xrange(self.place.key, first, last)]

    async def add(self, later: int) -> None:
        """Let an event come so much later."""
        self.at += later
        self.added += await self.place.add(self.at)

    async def read(self, number: int) -> None:
        """Deliver some."""
        self.pending += await self.place.read(number)

    async def ack(self, which: int) -> None:
        """Finish one of those that are delivered."""
        if self.pending:
            await self.place.ack(self.pending.pop(which % len(self.pending)))

    async def plan(self, which: int) -> None:
        """Begin an object of what is due, or of as much as makes one."""
        due = await self.place.due()
        if due.first:
            entries = await self._entries(due.first, due.last)
            last = due.last if due.planned else entries[which % len(entries)]
            self.begun = Due(due.position, due.first, last, planned=True, overdue=0)
            assert await self.place.plan(self.begun)

    async def write(self, _: int) -> None:
        """Write the object that was begun: the same each time, of one day."""
        if self.begun:
            entries = await self._entries(self.begun.first, self.begun.last)
            assert self.objects.setdefault((self.begun.first, self.begun.last), entries) == entries
            assert len({order_of(entry)[0] // DAY for entry in entries}) == 1
            self.written |= set(entries)

    async def confirm(self, _: int) -> None:
        """Confirm it, where it was written; the position only goes on."""
        if (begun := self.begun) and (begun.first, begun.last) in self.objects:
            if await self.place.confirm(begun):
                assert order_of(begun.last) > order_of(self.position)
                self.position = begun.last
            self.begun = None

    async def trim(self, _: int) -> None:
        """Trim."""
        await self.place.trim()

    async def check(self) -> None:
        """Nothing is lost; nothing that a worker holds was archived or removed; no two objects have one in common."""
        left = set(await self._entries("-", "+"))
        assert set(self.added) <= left | self.written
        assert set(self.pending) <= left - self.written
        assert sum(map(len, self.objects.values())) == len(self.written)


VERBS = st.sampled_from(["add", "add", "read", "ack", "ack", "plan", "write", "confirm", "trim"])


@given(st.lists(st.tuples(VERBS, st.integers(1, 2 * DAY) | st.integers(1, 9)), min_size=15, max_size=40))
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_happens_nothing_is_lost_and_nothing_is_written_twice(steps: list[tuple[str, int]]) -> None:
    """Events that come and are finished in any order, an archiver that stops anywhere: each is here or there, once."""
    async with fake_store() as store:
        story = Story(Place(store))
        await story.place.group()
        await story.place.due()
        for verb, value in steps:
            await getattr(story, verb)(min(value, 9) if verb == "read" else value)
            await story.check()
