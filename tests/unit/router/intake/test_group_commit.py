"""Group commit."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs
from support.spools import append
from support.waiting import eventually

from router.intake import group_commit as module
from router.intake.entry import Entry
from router.intake.group_commit import Appender
from router.intake.writer import Batch, _trips
from router.store.client import Store
from router.store.errors import StoreRefused, StoreUnavailable
from router.store.scripts import BATCH, Call

FIRST, SECOND = "p/first", "p/second"


class Recorder:
    """A store in memory that shows its round trips and can be held up or made to fail."""

    def __init__(self) -> None:
        self.trips: list[list[Call]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failing: dict[str, BaseException] = {}
        self.seen: set[str] = set()
        self.order: list[str] = []

    async def run(self, calls: list[Call]) -> list[Any]:
        """Append in memory."""
        self.trips.append(calls)
        await self.open.wait()
        return [self.failing.get(call.keys[0]) or [self._add(marker) for marker in call.keys[1:]] for call in calls]

    def _add(self, marker: str) -> bytes:
        new = marker not in self.seen
        self.seen.add(marker)
        self.order += [marker] * new
        return b"1-1" if new else b""


@pytest.fixture
def recorder() -> Recorder:
    """Return a store in memory."""
    return Recorder()


@pytest.fixture
def appender(recorder: Any) -> Appender:
    """Return an appender on it."""
    return Appender(Batch(recorder, window=60_000))


def entry(name: str, stream: str = FIRST, size: int = 1) -> Entry:
    """Return an entry."""
    return Entry(stream, f"{stream}:{name}", ("id", name), size)


async def test_waiting_requests_share_round_trips(recorder: Recorder, appender: Appender) -> None:
    """While one round trip is under way the next batch gathers: a hundred requests need two, not a hundred."""
    recorder.open.clear()
    lone = append(appender, [entry("lone")])
    await eventually(lambda: len(recorder.trips) == 1)
    others = [append(appender, [entry(f"n{number}", f"p/{number % 3}")]) for number in range(100)]
    recorder.open.set()
    assert await lone == [True]
    assert await asyncio.gather(*others) == [[True]] * 100
    assert len(recorder.trips) == 2
    assert len(recorder.trips[1]) == 3  # one script call for each stream


async def test_a_lone_request_waits_for_nobody(recorder: Recorder, appender: Appender) -> None:
    """A request that comes alone is sent at once, and so is the next one."""
    assert await append(appender, [entry("a")]) == [True]
    assert await append(appender, [entry("a"), entry("b")]) == [False, True]
    assert len(recorder.trips) == 2


async def test_the_answers_are_in_the_order_of_the_entries(recorder: Recorder, appender: Appender) -> None:
    """Each flag belongs to its entry, over several streams and requests of one batch."""
    await append(appender, [entry("old"), entry("old", SECOND)])
    one = append(appender, [entry("a"), entry("old", SECOND), entry("old"), entry("a", SECOND)])
    two = append(appender, [entry("a", SECOND), entry("b"), entry("a")])
    assert await one == [True, False, False, True]
    assert await two == [False, True, False]


async def test_the_order_of_a_stream_is_that_of_the_requests(recorder: Recorder, appender: Appender) -> None:
    """What was handed in first is appended first, however many calls it takes."""
    names = [f"n{number}" for number in range(3 * BATCH)]
    await asyncio.gather(*(append(appender, [entry(name)]) for name in names))
    assert recorder.order == [f"{FIRST}:{name}" for name in names]
    assert max(len(call.keys) - 1 for trip in recorder.trips for call in trip) == BATCH


async def test_failure_fails_only_those_whose_stream_failed(recorder: Recorder, appender: Appender) -> None:
    """A request fails unless all of its entries are stored; one that has nothing in the failing stream does not."""
    recorder.failing[SECOND] = StoreRefused("OOM")
    good = append(appender, [entry("a")])
    mixed = append(appender, [entry("b"), entry("b", SECOND)])
    bad = append(appender, [entry("c", SECOND)])
    other = append(appender, [entry("d")])
    assert await good == await other == [True]
    for failed in (mixed, bad):
        with pytest.raises(StoreUnavailable, match="OOM") as caught:
            await failed
        assert isinstance(caught.value.__cause__, StoreRefused)
    recorder.failing.clear()
    assert await append(appender, [entry("b"), entry("b", SECOND)]) == [False, True]


async def test_all_fail_when_the_store_is_away_and_the_next_succeed(recorder: Recorder, appender: Appender) -> None:
    """A store that is away fails what waits for it, those too that came meanwhile; it is tried again by the next."""
    recorder.failing[FIRST] = RedisConnectionError("away")
    recorder.open.clear()
    waiting = [append(appender, [entry("a")])]
    await eventually(lambda: len(recorder.trips) == 1)
    waiting += [append(appender, [entry("b")]), append(appender, [entry("c", SECOND)])]
    recorder.open.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(outcomes[0], StoreUnavailable)
    assert isinstance(outcomes[1], StoreUnavailable)
    recorder.failing.clear()
    assert await append(appender, [entry("b")]) == [True]


async def test_a_round_trip_is_bounded_in_items(
    recorder: Recorder, appender: Appender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No round trip has more items than the bound, but for a request that is larger by itself."""
    monkeypatch.setattr(module, "_MAX_ITEMS", 10)
    recorder.open.clear()
    requests = [append(appender, [entry("first")])]
    await eventually(lambda: len(recorder.trips) == 1)
    requests += [append(appender, [entry(f"{r}-{n}") for n in range(size)]) for r, size in enumerate((4, 6, 4, 25, 1))]
    recorder.open.set()
    await asyncio.gather(*requests)
    sizes = [sum(len(call.keys) - 1 for call in trip) for trip in recorder.trips]
    assert sizes == [1, 10, 4, 25, 1]


async def test_a_round_trip_is_bounded_in_bytes(
    recorder: Recorder, appender: Appender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor has it more bytes."""
    monkeypatch.setattr(module, "_MAX_BYTES", 100)
    recorder.open.clear()
    requests = [append(appender, [entry("first")])]
    await eventually(lambda: len(recorder.trips) == 1)
    requests += [append(appender, [entry(f"n{n}", size=size)]) for n, size in enumerate((60, 40, 1, 500, 30))]
    recorder.open.set()
    await asyncio.gather(*requests)
    assert [sum(len(call.keys) - 1 for call in trip) for trip in recorder.trips] == [1, 2, 1, 1, 1]


async def test_a_request_that_was_given_up_harms_no_other(recorder: Recorder, appender: Appender) -> None:
    """A sender that went away while it waited leaves the answers of the others as they are."""
    recorder.open.clear()
    gone, kept = append(appender, [entry("a")]), append(appender, [entry("b")])
    await eventually(lambda: len(recorder.trips) == 1)
    late = append(appender, [entry("c")])
    gone.cancel()
    late.cancel()
    recorder.failing[SECOND] = RedisConnectionError("away")
    recorder.open.set()
    assert await kept == [True]
    await appender.drain()
    assert f"{FIRST}:a" in recorder.seen
    recorder.open.clear()
    bad = append(appender, [entry("x", SECOND)])
    await eventually(lambda: recorder.trips[-1][0].keys[0] == SECOND)
    given_up = append(appender, [entry("y")])
    given_up.cancel()
    recorder.open.set()
    with pytest.raises(StoreUnavailable):
        await bad
    await appender.drain()


async def test_drain_waits_for_everything(recorder: Recorder, appender: Appender) -> None:
    """After a drain nothing waits, what was handed in during it neither."""
    await appender.drain()
    recorder.open.clear()
    first = append(appender, [entry("a")])
    await eventually(lambda: len(recorder.trips) == 1)
    second = append(appender, [entry("b")])
    draining = asyncio.ensure_future(appender.drain())
    assert not draining.done()
    recorder.open.set()
    await draining
    assert first.done()
    assert second.done()


async def test_an_unexpected_error_fails_the_requests(recorder: Recorder, appender: Appender) -> None:
    """Whatever happens in a round trip, those who wait for it are told: they must not wait for ever."""

    async def broken(_calls: object) -> list[Any]:
        raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")

    recorder.run = broken  # type: ignore[method-assign]
    waiting = append(appender, [entry("a")])
    await asyncio.wait([appender._task or waiting])
    assert waiting.done()


async def test_entries_reach_the_streams(store: Store) -> None:
    """On a store: entries, markers with the window, and duplicates are as the script makes them."""
    appender = Appender(Batch(store, window=60_000))
    keys = store.keys
    new = [Entry(keys.events(FIRST), keys.seen(FIRST, name), ("id", name, "raw", b"\xff"), 1) for name in ("a", "b")]
    assert await append(appender, [new[0], new[1], new[0]]) == [True, True, False]
    found = [fields for _, fields in await store.client.xrange(keys.events(FIRST))]
    assert found == [{b"id": b"a", b"raw": b"\xff"}, {b"id": b"b", b"raw": b"\xff"}]
    assert 0 < await store.client.pttl(keys.seen(FIRST, "a")) <= 60_000


async def test_an_answer_that_breaks_takes_nothing_from_the_others(recorder: Recorder, appender: Appender) -> None:
    """Whatever goes wrong in answering one request of a batch, the others are answered, and so are later ones."""

    def broken(_outcome: object) -> None:
        raise RuntimeError("answering broke")

    with capture_logs() as logged:
        recorder.open.clear()
        appender.append([entry("a")], broken)
        appender.append([entry("b")], broken)
        other = append(appender, [entry("c")])
        recorder.open.set()
        assert await other == [True]
    assert await append(appender, [entry("d")]) == [True]
    assert [line["event"] for line in logged] == ["answer_failed", "answer_failed"]


async def test_entries_of_different_fields_share_a_call(store: Store) -> None:
    """Some entries have a trace or hints and others have not: each keeps all and only its own, in one round trip."""
    batch = Batch(store, window=60_000)
    key = store.keys.events(FIRST)
    plain = [Entry(key, store.keys.seen(FIRST, f"p{n}"), ("id", f"p{n}", "raw", b"{}"), 2) for n in range(3)]
    traced = Entry(key, store.keys.seen(FIRST, "t"), ("id", "t", "raw", b"{}", "hints", b"{}", "trace", "00-ab"), 2)
    entries = [traced, plain[0], plain[1], traced, plain[2]]
    assert _trips(entries) == [[[0, 1, 2, 3, 4]]]
    assert await batch.append(entries) == [True, True, True, False, True]
    rows = [fields for _, fields in await store.client.xrange(key)]
    assert [row.get(b"trace") for row in rows] == [b"00-ab", None, None, None]
    assert [row[b"id"] for row in rows] == [b"t", b"p0", b"p1", b"p2"]
    assert [len(row) for row in rows] == [4, 2, 2, 2]
