"""Giving a subscription past events of the archive once more."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.archiving import DAY, ArchiveBench, days_ago
from support.filling import CUSTOMERS, FINANCIAL, put_group, raw_of
from support.stores import fake_store
from support.waiting import eventually

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.archive.reading import Reading, Skipped
from workers.operations.archive import recall
from workers.operations.archive.recall import Recall
from workers.operations.events import EventFilter
from workers.operations.handover import BEFORE, Handover, NotSubscribed, Position, ReplayOptions

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
STREAMS = (CUSTOMERS, SUPPLIERS)
EVERYTHING = EventFilter()


class Bench(ArchiveBench):
    """An archive of old events, and replays of them."""

    async def put(self, stream: str, days: float, *ids: str, company: int = 7) -> list[str]:
        """Add events that came so many days ago."""
        found = list[str]()
        for number, id_ in enumerate(ids):
            raw = raw_of(id_, stream, resource=f"customer/{id_}", company=company)
            entry_id = f"{days_ago(days)}-{number}"
            fields = {"id": id_, "at": "1", "raw": raw, "trace": "t"}
            await self.client.xadd(self.store.keys.events(stream), fields, id=entry_id)
            found.append(entry_id)
        return found

    def recall(
        self,
        subscription: str = "sync",
        wanted: EventFilter = EVERYTHING,
        *,
        skip: Callable[[Skipped], None] = lambda _: None,
        wait: Callable[[bool], None] = lambda _: None,
        **options: Any,
    ) -> Recall:
        """Return a replay of what is in the archive."""
        reading = Reading(self.archive, skip)
        given = ReplayOptions(**{"glob": f"{FINANCIAL}/[cs]u*er_changed", **options})
        return Recall(reading, self.store, self.catalogue, subscription, wanted, given, wait)

    async def inbox(self, stream: str = CUSTOMERS, subscription: str = "sync") -> list[dict[bytes, bytes]]:
        """Return what was given, oldest first."""
        return [fields for _, fields in await self.client.xrange(self.store.keys.inbox(stream, subscription))]

    async def given(self, stream: str = CUSTOMERS, subscription: str = "sync") -> list[str]:
        """Return the ids of that."""
        return [fields[b"id"].decode() for fields in await self.inbox(stream, subscription)]


@pytest.fixture
async def bench(store: Store, catalogue: Catalogue, tmp_path: Path) -> Bench:
    """Return a bench whose archive has a, b and c of two streams, which `sync` had; d is in its stream still."""
    bench = Bench(store, catalogue, tmp_path / "archive")
    await put_group(store, "sync", *STREAMS)
    await bench.put(CUSTOMERS, 10, "a")
    await bench.put(SUPPLIERS, 9.5, "b")
    await bench.put(CUSTOMERS, 9, "c")
    await bench.put(CUSTOMERS, 3, "d")
    await bench.finish(CUSTOMERS, 9)
    await bench.finish(SUPPLIERS, 9)
    await bench.round()
    assert len(await bench.archived()) == 4
    assert len(await bench.ids(CUSTOMERS)) == 1
    return bench


async def test_the_archive_is_given_in_order(bench: Bench) -> None:
    """What was archived goes to the inbox of the subscription, oldest first, as if it was never attempted."""
    change = bench.recall()
    assert [stored.event.id async for stored in _items(change) if stored.event] == ["a", "b", "c", "d"]
    result = await change.run(reason="mended")
    assert (result.matched, result.changed, result.failed) == (4, 4, 0)
    assert await bench.given() == ["a", "c", "d"]
    assert await bench.given(SUPPLIERS) == ["b"]
    (first, *_) = await bench.inbox()
    assert {b"id", b"at", b"raw", b"trace", b"history", b"order", b"generation"} == set(first)
    assert b"mended" in first[b"history"]


async def _items(change: Recall) -> Any:
    await change.settle()
    async for stored in change.items():
        yield stored


async def test_a_replay_is_repeated_without_giving_anything_twice(bench: Bench) -> None:
    """What any replay gave, of the archive or of the streams, is not given again; under a new name it is."""
    other = Handover(bench.store, bench.catalogue, "sync", EventFilter(), ReplayOptions(CUSTOMERS))
    assert (await other.run()).changed == 1
    first = await bench.recall(most=2).run()
    assert (first.changed, first.counts[BEFORE]) == (2, 0)
    again = await bench.recall().run()
    assert (again.changed, again.counts[BEFORE]) == (1, 3)
    assert sorted(await bench.given()) == ["a", "c", "d"]
    assert (await bench.recall(again="second").run()).changed == 4


async def test_a_replay_goes_on_where_one_ended(bench: Bench) -> None:
    """`last` says how far a replay came, and the next begins behind it."""
    first = bench.recall(most=2)
    await first.run()
    assert first.last is not None
    assert await bench.given() == ["a"]
    assert (await bench.recall(after=Position.parse(str(first.last))).run()).matched == 2
    assert await bench.given() == ["a", "c", "d"]


async def test_what_is_selected(bench: Bench) -> None:
    """Time, type and record select as they do among the events of the streams."""
    assert (await bench.recall(glob=SUPPLIERS).preview()).number == 1
    assert (await bench.recall(wanted=EventFilter(resource="customer/[ac]")).preview()).number == 2
    assert (await bench.recall(wanted=EventFilter(company="8")).preview()).number == 0


async def test_what_comes_anyway_is_left_out(bench: Bench) -> None:
    """A new subscription gets what is in the stream by itself: it is given what is not there any more."""
    await put_group(bench.store, "new", *STREAMS)
    change = bench.recall("new")
    await change.run()
    assert await bench.given(subscription="new") == ["a", "c"]
    assert await bench.given(SUPPLIERS, "new") == ["b"]


async def test_a_new_subscription_on_an_empty_stream(bench: Bench) -> None:
    """Where the stream holds nothing any more, a subscription that never had anything is given all of the archive."""
    await bench.round(window=DAY)
    assert await bench.ids(CUSTOMERS) == []
    await put_group(bench.store, "new", *STREAMS)
    await bench.recall("new").run()
    assert await bench.given(subscription="new") == ["a", "c", "d"]


async def test_a_store_that_is_new(bench: Bench, catalogue: Catalogue) -> None:
    """What was archived from a store that was lost is given to the subscriptions of the one that took its place."""
    async with fake_store() as store:
        await put_group(store, "sync", *STREAMS)
        change = Recall(Reading(bench.archive), store, catalogue, "sync", EventFilter(), ReplayOptions(CUSTOMERS))
        assert (await change.run()).changed == 3


async def test_a_subscription_that_nobody_reads(bench: Bench) -> None:
    """A subscription that does not exist is refused: what it was given would reach nobody."""
    with pytest.raises(NotSubscribed):
        await bench.recall("typo").preview()


async def test_what_is_damaged_is_named(bench: Bench) -> None:
    """An object that is not whole gives nothing, and is named once for both looks at it."""
    folder = bench.settings.folder
    assert folder is not None
    name = (await bench.objects())[0]
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])
    skipped = list[Skipped]()
    change = bench.recall(skip=skipped.append)
    result = await change.run()
    assert [each.name for each in skipped] == [name]
    assert result.changed == 3


async def test_it_goes_as_fast_as_it_is_handled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the inbox is full nothing more is given, so that an archive of years does not fill the server's memory."""
    monkeypatch.setattr(recall, "_ROOM", 2)
    monkeypatch.setattr(Recall, "batch", 1)
    waits = list[bool]()
    running = asyncio.create_task(bench.recall(wait=waits.append).run())
    await eventually(lambda: waits == [True])
    assert await bench.given() == ["a", "c"]
    await bench.client.xtrim(bench.store.keys.inbox(CUSTOMERS, "sync"), maxlen=0)
    assert (await running).changed == 4
    assert waits == [True, False]
    assert await bench.given() == ["d"]


async def test_it_can_be_interrupted_while_it_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a replay that waits; repeated, it gives the rest."""
    monkeypatch.setattr(recall, "_ROOM", 1)
    monkeypatch.setattr(Recall, "batch", 1)
    waits = list[bool]()
    running = asyncio.create_task(bench.recall(wait=waits.append).run())
    await eventually(lambda: waits == [True])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    monkeypatch.setattr(recall, "_ROOM", 100)
    result = await bench.recall().run()
    assert (result.changed, result.counts[BEFORE]) == (3, 1)
    assert await bench.given() == ["a", "c", "d"]
