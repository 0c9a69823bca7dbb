"""The life of an event that a keyed subscription has in the line of its key."""

from collections.abc import Sequence

import pytest
from support.filling import CUSTOMERS, put_dead, put_events, put_group
from support.keyed import KeyedBench

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.keyed.keying import usual_keys
from workers.operations import life as life_module
from workers.operations.events import Browser
from workers.operations.keys import line_search
from workers.operations.keys.line_keys import LineEvent, LineKeys
from workers.operations.life import Place, life


class Bench(KeyedBench):
    """Three events of one customer, which the subscription `sync` has brought into its lines."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        super().__init__(store)
        self.catalogue = catalogue
        self.entries: list[str] = []

    async def begin(self, *, key: str = "", merged: bool = False) -> None:
        """Store the events and bring them, by their usual key unless another is given."""
        await self.stored()
        await self.bring_stored(*self.entries, key=key or await self.usual_key(), merged=merged)

    async def stored(self) -> None:
        """Store the events, which their stream has let go."""
        await put_group(self.store, "sync")
        self.entries = await put_events(self.store, "e1", "e2", "e3")
        await self.store.client.xreadgroup("sync", "w0", {self.store.keys.events(CUSTOMERS): ">"})
        await self.store.client.xack(self.store.keys.events(CUSTOMERS), "sync", *self.entries)
        await self.claim()  # as a worker does that has just started

    async def begin_with(self, *, names: Sequence[str], key: str) -> None:
        """Store the events, and bring a replay of the second, which has stood for others before."""
        await self.stored()
        key = key or await self.usual_key()
        await self.bring_stored(self.entries[1], key=key, merged=True, again="1790000000000-0", names=names)

    async def shown(self, key: str) -> list[LineEvent]:
        """Return the events of a key as `keys show` has them."""
        return await LineKeys(self.store, self.catalogue, "sync").line(key.encode(), 10)

    async def usual_key(self) -> str:
        """Return the key by resource of the events."""
        found = await Browser(self.store, self.catalogue).find("e1")
        assert found is not None
        assert found.event is not None
        return usual_keys(found.event)[0].decode()

    async def places(self, id_: str) -> list[Place]:
        """Return where an event is."""
        found = await Browser(self.store, self.catalogue).find(id_)
        assert found is not None
        return list((await life(self.store, found)).subscriptions)

    async def told(self, id_: str) -> list[tuple[str, str | None, str | None]]:
        """Return of each place its state, behind which event it waits, and into which it is merged."""
        return [(place.state, place.behind, place.merged_into) for place in await self.places(id_)]


@pytest.fixture
def bench(store: Store, catalogue: Catalogue) -> Bench:
    """Return a bench on each kind of store."""
    return Bench(store, catalogue)


@pytest.mark.parametrize("key", ["", "whatever a function says"])
async def test_an_event_that_a_replayed_dead_letter_stands_for_is_where_that_is(bench: Bench, key: str) -> None:
    """What was merged before into an event that waits again is not done: it ends with that, or later."""
    await bench.begin_with(names=["e1"], key=key)
    assert await bench.told("e1") == [("line", None, "e2")]
    assert await bench.told("e2") == [("line", None, None)]
    await bench.bring_stored(bench.entries[2], key=key or await bench.usual_key(), merged=True)
    assert await bench.told("e1") == [("line", None, "e3")]
    assert await bench.told("e2") == [("line", None, "e3")]
    await bench.claim()
    assert await bench.told("e1") == [("pending", None, "e3")]
    shown = await bench.shown(key or await bench.usual_key())
    assert [(event.id, [merged.id for merged in event.merged]) for event in shown] == [("e2", ["e1"]), ("e3", [])]


@pytest.mark.parametrize("key", ["", "whatever a function says"])
async def test_an_event_waits_behind_the_first_of_its_key(bench: Bench, key: str) -> None:
    """The first of a line waits for a worker, and the others say behind which; whatever their key is made of."""
    await bench.begin(key=key)
    assert await bench.told("e1") == [("line", None, None)]
    assert await bench.told("e3") == [("line", "e1", None)]
    (place,) = await bench.places("e3")
    assert place.key == (key or await bench.usual_key())
    ((claim, ref, body),) = await bench.claim()
    assert await bench.told("e1") == [("pending", None, None)]
    assert [place.consumer for place in await bench.places("e1")] == ["w1"]
    await bench.store.call(bench.lines.retry(claim, ref, body, 60_000))
    assert await bench.told("e1") == [("scheduled", None, None)]
    assert [place.due_at is None for place in await bench.places("e1")] == [False]
    assert await bench.told("e2") == [("line", "e1", None)]


async def test_an_event_of_a_held_key(bench: Bench) -> None:
    """Its key waits for an operator, whether it is the first or waits behind that; what ended is done."""
    await bench.begin()
    ((claim, ref, _),) = await bench.claim()
    await bench.settle(claim, ref, hold=True)
    assert await bench.told("e2") == [("held", None, None)]
    assert await bench.told("e3") == [("held", "e2", None)]
    assert await bench.told("e1") == [("done", None, None)]


async def test_an_event_that_is_merged(bench: Bench) -> None:
    """It says which later event stands for it, before that runs, while it runs, and when it is dead."""
    await bench.begin(merged=True)
    assert await bench.told("e1") == [("line", None, "e3")]
    assert await bench.told("e3") == [("line", None, None)]
    ((claim, *_),) = await bench.claim()
    assert await bench.told("e1") == [("pending", None, "e3")]
    assert await bench.told("e3") == [("pending", None, None)]
    line = await bench.store.call(bench.lines.line(claim.key, b"", 10, 10_000))
    await bench.settle(claim, *line[1::2])
    await put_dead(bench.store, "e3", fields={"merged": '[["e1","customer_changed",1],["e2","customer_changed",2]]'})
    assert await bench.told("e1") == [("dead", None, "e3")]
    assert await bench.told("e3") == [("dead", None, None)]


async def test_a_replayed_event_is_found_in_its_line(bench: Bench) -> None:
    """What was replayed stands in the line at the place that it had, and is found there."""
    await bench.begin()
    await bench.handled()
    assert await bench.told("e2") == [("done", None, None)]
    await bench.bring_stored(bench.entries[1], key=await bench.usual_key(), again="1760000099999-0")
    assert await bench.told("e2") == [("line", None, None)]


async def test_an_event_that_is_on_its_way_into_its_line_is_there_once(bench: Bench) -> None:
    """An event is brought into its line before its stream lets it go: it is in one place all the same."""
    await bench.begin()
    await bench.store.client.xgroup_setid(bench.store.keys.events(CUSTOMERS), "sync", "0")
    assert await bench.told("e1") == [("line", None, None)]


async def test_lines_that_hold_too_much(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a function makes the keys, and not all lines are looked through, an event not found is not called done."""
    await bench.begin(key="x")
    ((claim, ref, _),) = await bench.claim()
    await bench.settle(claim, ref)
    monkeypatch.setattr(line_search, "_PAGE", 1)
    monkeypatch.setattr(life_module, "SEARCHED", 1)
    assert await bench.told("e1") == [("unknown", None, None)]
