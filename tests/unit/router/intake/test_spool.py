"""The spool and its drain, together with the appender that fills it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError
from support.spools import MemoryStore, append, entry, waiting
from support.waiting import eventually

from router.intake import drain
from router.intake import spool as spool_module
from router.intake.confirmation import NotDurable
from router.intake.drain import Drain
from router.intake.group_commit import Appender
from router.intake.spool import Spool, SpoolFull
from router.intake.spool_file import SpoolFile, size_of
from router.intake.writer import Batch
from router.store.errors import StoreRefused

AWAY = RedisConnectionError("away")
FIRST, SECOND = "p/first", "p/second"


class Parts:
    """An appender with its spool and drain on a store in memory."""

    def __init__(self, directory: Path, max_bytes: int = 1_000_000) -> None:
        self.store: Any = MemoryStore()
        self.spool = Spool.open(directory, max_bytes=max_bytes)
        batch = Batch(self.store, window=60_000)
        self.appender = Appender(batch, self.spool)
        self.drain = Drain(self.spool, batch, Random(1))

    async def append(self, *names: str, stream: str = FIRST) -> list[bool]:
        """Append one request."""
        return await append(self.appender, [entry(name, stream) for name in names])

    @property
    def appended(self) -> list[str]:
        """The names of what is in the store, in its order."""
        return [marker.rpartition(":")[2] for marker in self.store.appended]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Callable[..., Parts]]:
    """Return a maker of parts, all of which are closed at the end."""
    made: list[Parts] = []

    def make(**options: Any) -> Parts:
        made.append(Parts(tmp_path, **options))
        return made[-1]

    yield make
    for parts in made:
        await parts.spool.close()


@pytest.fixture
def parts(opened: Callable[..., Parts]) -> Parts:
    """Return parts with room for everything."""
    return opened()


async def test_requests_are_answered_while_the_store_is_away(parts: Parts) -> None:
    """A store that is away is no reason for anything but 2xx: everything is accepted, and on disk."""
    parts.store.away = AWAY
    assert await parts.append("a", "b") == [True, True]
    assert await asyncio.gather(*(parts.append(f"n{n}") for n in range(50))) == [[True]] * 50
    assert parts.spool.entries == 52
    assert parts.appended == []


async def test_only_one_request_finds_out_that_the_store_is_away(parts: Parts) -> None:
    """After the first failure requests go to the spool at once: none waits for the store's time-out again."""
    parts.store.away = AWAY
    await parts.append("a")
    await parts.append("b", stream=SECOND)
    await parts.append("c", stream="p/third")
    assert parts.store.trips == 1


async def test_what_came_while_a_round_trip_failed_keeps_its_order(parts: Parts) -> None:
    """Those who waited for the failed round trip and those who came meanwhile are spooled in the order they came in."""
    parts.store.away = AWAY
    parts.store.open.clear()
    first = asyncio.ensure_future(parts.append("a"))
    await eventually(lambda: parts.store.trips == 1)
    others = [asyncio.ensure_future(parts.append(name)) for name in ("b", "c")]
    await asyncio.sleep(0)
    parts.store.open.set()
    await asyncio.gather(first, *others)
    await parts.append("d")
    parts.store.away = None
    assert await parts.drain.once()
    assert parts.appended == ["a", "b", "c", "d"]


async def test_the_drain_keeps_the_order_over_streams(parts: Parts) -> None:
    """What waited is appended in the order in which it came, each stream's exactly so."""
    parts.store.away = AWAY
    for number in range(300):
        await parts.append(f"{number:03}", stream=f"p/{number % 3}")
    parts.store.away = None
    assert await parts.drain.once()
    for residue in range(3):
        own = [name for name in parts.appended if int(name) % 3 == residue]
        assert own == sorted(own)
    assert len(parts.appended) == 300


async def test_a_stream_whose_entries_wait_is_not_overtaken(parts: Parts) -> None:
    """While something of a stream waits, more of it goes behind that; other streams go straight to the store."""
    parts.store.failing[FIRST] = StoreRefused("WRONGTYPE")
    await parts.append("a1")
    parts.store.failing.clear()
    assert await parts.append("b1", stream=SECOND) == [True]
    await parts.append("a2")
    assert parts.appended == ["b1"]
    await parts.drain.once()
    await parts.append("a3")
    assert parts.appended == ["b1", "a1", "a2", "a3"]


async def test_new_requests_do_not_wait_for_the_drain(parts: Parts) -> None:
    """A long drain holds up nobody: requests are answered from the spool meanwhile, and drained after the others."""
    parts.store.away = AWAY
    await parts.append("a")
    parts.store.away = None
    parts.store.open.clear()
    draining = asyncio.create_task(parts.drain.once())
    await eventually(lambda: parts.store.trips == 2)
    assert await parts.append("b") == [True]
    parts.store.open.set()
    await draining
    assert await parts.append("c") == [True]
    assert parts.appended == ["a", "b", "c"]


async def test_after_the_drain_requests_go_to_the_store_again(parts: Parts) -> None:
    """The spool is for outages only: once it is empty, duplicates are told apart again."""
    parts.store.away = AWAY
    await parts.append("a")
    parts.store.away = None
    assert await parts.drain.once()
    assert await parts.append("a", "b") == [False, True]
    assert parts.spool.entries == 0


async def test_a_lost_reply_neither_loses_nor_doubles(parts: Parts) -> None:
    """Where it is unknown whether an append was done, it is done again, and the marker stops the second."""
    parts.store.lost = True
    assert await parts.append("a", "b") == [True, True]
    await parts.append("c")
    parts.store.lost = False
    assert await parts.drain.once()
    assert parts.appended == ["a", "b", "c"]


async def test_one_refused_stream_does_not_hold_up_the_others(parts: Parts) -> None:
    """Failure stays local: what the store refuses for one stream waits, all others are drained."""
    parts.store.away = AWAY
    for number in range(6):
        await parts.append(f"n{number}", stream=(FIRST, SECOND)[number % 2])
    parts.store.away = None
    parts.store.failing[FIRST] = StoreRefused("WRONGTYPE")
    assert not await parts.drain.once()
    assert parts.appended == ["n1", "n3", "n5"]
    parts.store.failing.clear()
    assert await parts.drain.once()
    assert parts.appended == ["n1", "n3", "n5", "n0", "n2", "n4"]


async def test_a_store_that_does_not_answer_is_asked_once_a_turn(parts: Parts) -> None:
    """While nobody answers, asking for each stream would only take the time that the next look needs."""
    parts.store.away = AWAY
    for number in range(5):
        await parts.append("a", stream=f"p/{number}")
    trips = parts.store.trips
    assert not await parts.drain.once()
    assert parts.store.trips == trips + 1


async def test_a_cluster_is_asked_for_each_stream(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Cluster one node may be away and the others not: the streams of the others are drained."""
    monkeypatch.setattr(drain, "_LIMIT", 1)
    parts.store.cluster = True
    parts.store.away = AWAY
    await parts.append("a")
    await parts.append("b", stream=SECOND)
    parts.store.away = None
    parts.store.failing[FIRST] = AWAY
    assert not await parts.drain.once()
    assert parts.appended == ["b"]


async def test_what_is_not_durable_yet_waits(parts: Parts) -> None:
    """An append that could not be confirmed is kept on disk until one is."""
    parts.store.failing[FIRST] = NotDurable("WAIT answered 0 of 1 in time")
    assert await parts.append("a") == [True]
    assert parts.spool.entries == 1
    assert not await parts.drain.once()
    parts.store.failing.clear()
    assert await parts.drain.once()
    assert parts.spool.entries == 0


async def test_no_more_of_a_stream_at_once_than_one_call_carries(parts: Parts) -> None:
    """If the first hundred of a stream were refused, the second must not be appended before them."""
    parts.store.away = AWAY
    await parts.append(*(f"{number:03}" for number in range(250)))
    parts.store.away = None
    before = parts.store.trips
    assert await parts.drain.once()
    assert parts.store.trips - before == 3
    assert parts.appended == sorted(parts.appended)


# Bounds


async def test_a_full_spool_refuses(opened: Callable[..., Parts]) -> None:
    """It is bounded in bytes: what does not fit is refused, and taken again once there is room."""
    parts = opened(max_bytes=2 * size_of(entry("a")))
    parts.store.away = AWAY
    await parts.append("a")
    assert not parts.spool.is_full
    await parts.append("b")
    assert not parts.spool.is_full
    with pytest.raises(SpoolFull, match="full"):
        await parts.append("c")
    assert parts.spool.is_full
    assert parts.spool.entries == 2
    parts.store.away = None
    assert await parts.drain.once()
    assert not parts.spool.is_full
    assert await parts.append("c") == [True]
    assert parts.appended == ["a", "b", "c"]


async def test_a_request_is_spooled_whole_or_not_at_all(opened: Callable[..., Parts]) -> None:
    """All items or no 2xx: one of which a part does not fit leaves nothing behind."""
    parts = opened(max_bytes=2 * size_of(entry("a")))
    parts.store.away = AWAY
    with pytest.raises(SpoolFull):
        await parts.append("a", "b", "c")
    assert parts.spool.entries == 0
    assert await parts.append("a", "b") == [True, True]


async def test_a_full_disk_refuses_and_recovers(parts: Parts) -> None:
    """A disk that is full is a refusal, nothing worse; nothing that was refused is counted as waiting."""
    parts.store.away = AWAY
    await parts.append("a")
    parts.spool._file._db.execute("PRAGMA max_page_count=1")
    await parts.spool._in_thread(lambda: parts.spool._file._db.execute("PRAGMA cache_size=0"))
    with pytest.raises(SpoolFull, match="cannot be written"):
        await append(parts.appender, [entry("b", size=1), entry("c", stream="x" * 50_000)])
    assert parts.spool.entries == 1
    parts.spool._file._db.execute("PRAGMA max_page_count=100000")
    assert await parts.append("d") == [True]
    parts.store.away = None
    assert await parts.drain.once()
    assert parts.appended == ["a", "d"]


async def test_a_disk_that_takes_no_removals_does_not_keep_us_from_the_store(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the store counts as drained although the disk is too full to note it: requests go direct again."""
    parts.store.away = AWAY
    await parts.append("a", "b")
    parts.store.away = None
    real = SpoolFile.remove

    def full(_file: SpoolFile, _ids: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(SpoolFile, "remove", full)
    assert not await parts.drain.once()
    assert await parts.append("c", "a") == [True, False]
    assert not await parts.drain.once()
    monkeypatch.setattr(SpoolFile, "remove", real)
    assert await parts.drain.once()
    assert parts.spool._file.oldest(10) == []
    assert parts.appended == ["a", "b", "c"]


async def test_an_entry_that_cannot_be_written_fails_its_request(parts: Parts) -> None:
    """Whatever goes wrong with the file, those who wait are told."""
    parts.store.away = AWAY
    await parts.append("a")
    with pytest.raises(SpoolFull):
        await parts.append("\ud800")
    assert parts.spool.entries == 1


async def test_a_sender_that_went_away_harms_nobody(parts: Parts) -> None:
    """A request given up while it waits for the disk leaves the others as they are."""
    parts.store.away = AWAY
    await parts.append("a")
    gone, kept = (append(parts.appender, [entry(name)]) for name in ("b", "c"))
    gone.cancel()
    assert await kept == [True]
    await parts.spool.written()


# Starting, running, ending


async def test_what_was_left_over_is_drained_first(opened: Callable[..., Parts], tmp_path: Path) -> None:
    """A spool that a process left behind is drained by the next, before what comes newly."""
    for name in ("0", "1", "2"):
        file = SpoolFile(tmp_path / f"{name}.db")
        file.add([entry(f"old-{name}")])
        file.close()
    parts = opened()
    assert parts.spool.entries == 3
    assert await parts.append("new") == [True]
    assert await parts.drain.once()
    assert parts.appended == ["old-0", "old-1", "old-2", "new"]


async def test_a_broken_leftover_is_left_alone(opened: Callable[..., Parts], tmp_path: Path) -> None:
    """One that cannot be read keeps nobody from starting, and is not deleted."""
    file = SpoolFile(tmp_path / "7.db")
    file._db.execute("DROP TABLE waiting")
    file._db.execute("CREATE TABLE waiting (other TEXT)")
    file.close()
    parts = opened()
    assert parts.spool.entries == 0
    assert (tmp_path / "7.db").exists()


def test_a_spool_that_cannot_be_opened_lets_go_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails at the start keeps no file: the next try finds it free, with the error of the first still at hand."""
    with monkeypatch.context() as broken:
        broken.setattr(spool_module, "left_over", lambda _file: 1 / 0)
        with pytest.raises(ZeroDivisionError) as kept:
            Spool.open(tmp_path, max_bytes=1000)
    file = SpoolFile.claim(tmp_path)
    assert file.path.name == "0.db"
    assert kept.traceback
    file.close()


async def test_it_drains_by_itself_and_then_rests(parts: Parts) -> None:
    """When the store is back everything goes there with nobody's help; an idle drain does not touch the store."""
    running = asyncio.create_task(parts.drain.run())
    try:
        parts.store.away = AWAY
        await parts.append("a")
        await eventually(lambda: parts.store.trips > 2)
        parts.store.away = None
        await eventually(lambda: parts.appended == ["a"] and not parts.spool._work.is_set())
        trips = parts.store.trips
        assert await parts.append("b") == [True]
        assert parts.store.trips == trips + 1
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_without_room_the_store_is_tried_again(opened: Callable[..., Parts]) -> None:
    """A spool that cannot take anything does not keep requests away from a store that is back."""
    parts = opened(max_bytes=1)
    parts.store.away = AWAY
    with pytest.raises(SpoolFull):
        await parts.append("a")
    parts.store.away = None
    await parts.drain.once()
    assert await parts.append("a") == [True]


async def test_age_and_size_tell_how_bad_it_is(tmp_path: Path) -> None:
    """Operators see for how long something has been waiting, and how much."""
    now = [100.0]
    spool = Spool(SpoolFile.claim(tmp_path), max_bytes=1000, monotonic=lambda: now[0])
    assert (spool.entries, spool.bytes, spool.age) == (0, 0, 0.0)
    request, told = waiting(entry("a"))
    spool.put(request)
    await told
    now[0] = 160.0
    assert (spool.entries, spool.bytes, spool.age) == (1, size_of(entry("a")), 60.0)
    await spool.remove(await spool.oldest(10))
    assert (spool.entries, spool.bytes, spool.age) == (0, 0, 0.0)
    await asyncio.wait_for(spool.settled(), 30)
    await spool.close()


async def test_a_spool_shrinks_once_it_is_empty(opened: Callable[..., Parts], tmp_path: Path) -> None:
    """The disk gets its room back after an outage, and nothing of what waited is left on it."""
    parts = opened()
    parts.store.away = AWAY
    big = [replace(entry(f"n{number}", size=1000), fields=("raw", b"x" * 1000)) for number in range(300)]
    await append(parts.appender, big)
    parts.store.away = None
    assert await parts.drain.once()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 50_000
    assert not any(b"xxxx" in path.read_bytes() for path in tmp_path.iterdir())


# What went wrong once


async def test_no_later_hundred_overtakes_one_that_was_refused(parts: Parts) -> None:
    """Of an array of many hundreds the first is refused and the next would be taken: none of them goes before it."""
    refusals = [StoreRefused("OOM")]
    run = parts.store.run

    async def memory_comes_back(calls: list[Any]) -> list[Any]:
        if refusals:
            return [refusals.pop(), *await run(calls[1:])]
        return await run(calls)  # type: ignore[no-any-return]

    parts.store.run = memory_comes_back
    names = [f"{number:04}" for number in range(450)]
    assert await parts.append(*names) == [True] * 450
    assert parts.appended == []
    assert await parts.drain.once()
    assert parts.appended == names


async def test_a_queued_request_does_not_overtake_the_one_that_was_spooled(parts: Parts) -> None:
    """What waits behind a round trip that fails for its stream follows it into the spool."""
    parts.store.open.clear()
    parts.store.failing[FIRST] = StoreRefused("OOM")
    first = asyncio.ensure_future(parts.append("a"))
    await eventually(lambda: parts.store.trips == 1)
    second = asyncio.ensure_future(parts.append("b"))
    await asyncio.sleep(0)
    parts.store.open.set()
    await first
    parts.store.failing.clear()
    await second
    assert parts.appended == []
    assert await parts.drain.once()
    assert parts.appended == ["a", "b"]


async def test_a_request_for_the_spool_does_not_overtake_those_under_way(parts: Parts) -> None:
    """One that has to go to the spool for one of its items waits for those that share another item's stream."""
    parts.store.failing[SECOND] = StoreRefused("OOM")
    await parts.append("spooled", stream=SECOND)
    parts.store.failing.clear()
    parts.store.open.clear()
    before = asyncio.ensure_future(parts.append("a"))
    await eventually(lambda: parts.store.trips == 2)
    both = asyncio.ensure_future(append(parts.appender, [entry("b"), entry("b", SECOND)]))
    await asyncio.sleep(0)
    assert not both.done()
    parts.store.open.set()
    await asyncio.gather(before, both)
    assert await parts.drain.once()
    assert [name for name in parts.appended if name in "ab"] == ["a", "b", "b"]


async def test_a_drain_sends_no_more_bytes_than_a_slow_line_carries_in_time(opened: Callable[..., Parts]) -> None:
    """Large bodies go in small numbers: all at once would never arrive within the time-out, and be sent for ever."""
    parts = opened(max_bytes=10_000_000)
    parts.store.away = AWAY
    await append(parts.appender, [entry(f"n{number}", size=400_000) for number in range(10)])
    parts.store.away = None
    sizes = []
    run = parts.store.run

    async def counted(calls: list[Any]) -> list[Any]:
        sizes.append(sum(len(call.keys) - 1 for call in calls))
        return await run(calls)  # type: ignore[no-any-return]

    parts.store.run = counted
    assert await parts.drain.once()
    assert max(sizes) <= 3
    assert len(parts.appended) == 10


async def test_an_entry_that_cannot_be_read_is_put_aside(parts: Parts) -> None:
    """A damaged row holds up nobody, is said, and is kept."""
    parts.store.away = AWAY
    await parts.append("a", "b", "c")
    parts.spool._file._db.execute("UPDATE waiting SET fields = x'c1' WHERE marker LIKE '%:b'")
    parts.store.away = None
    assert await parts.drain.once()
    assert parts.appended == ["a", "c"]
    assert parts.spool.entries == 0
    assert parts.spool._file._db.execute("SELECT marker FROM broken").fetchall() == [("p/first:b",)]


async def test_what_another_process_left_is_adopted_while_running(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ingress that ended for good in an outage leaves its spool to those that go on."""
    monkeypatch.setattr(drain, "_ADOPT", 0.05)
    other = SpoolFile(tmp_path / "9.db")
    other.add([entry("left"), entry("too", SECOND)])
    other.close()
    running = asyncio.create_task(parts.drain.run())
    try:
        await eventually(lambda: parts.appended == ["left", "too"])
        await eventually(lambda: parts.spool.entries == 0)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_fault_of_the_file_does_not_end_the_drain(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a read ends in, the drain goes on: what waits must not wait for a restart."""
    parts.store.away = AWAY
    await parts.append("a")
    parts.store.away = None
    with monkeypatch.context() as broken:
        broken.setattr(SpoolFile, "oldest", lambda *_args, **_options: 1 / 0)
        assert not await parts.drain.once()
    assert await parts.drain.once()
    assert parts.appended == ["a"]
