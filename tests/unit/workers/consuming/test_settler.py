"""Telling the store what became of the attempts."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.contextvars import bind_contextvars, get_contextvars, unbind_contextvars
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.scripts import BATCH, Call, Script
from router.tasks.outage import Outage
from workers import Subscription
from workers.consuming.context import Context
from workers.consuming.settler import Settler
from workers.delivery import Held
from workers.metrics import WorkerMetrics
from workers.outcomes import Dead, Done, RetryIn

STREAM = "visma-net-financial/customer_changed"


class Bench:
    """A settler over a store, and deliveries in its hands."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.store = store
        self.keys = store.keys
        self.client: Any = store.client
        self.registry = CollectorRegistry()
        subscription = Subscription("sub", events=[STREAM])
        metrics = WorkerMetrics(self.registry)
        self.context = Context(subscription, (STREAM,), "c1", store, catalogue, WorkerSettings(), metrics)
        self.scheduled: list[tuple[str, float]] = []
        self.settled = 0
        self.context.in_hand.made_room = self._settled
        self.settler = Settler(self.context, lambda *args: self.scheduled.append(args))
        self.trips = 0
        self._run = store.run

    def _settled(self) -> None:
        self.settled += 1

    async def deliver(self, *names: str, inbox: bool = False, **fields: str) -> list[Held]:
        """Add entries and deliver them, on a server that knows the scripts: each round trip is then one."""
        for script in (Script("ack"), Script("move")):
            await self.client.script_load(script.source)
        key = self.context.keys.source(STREAM, "sub", inbox=inbox)
        await self.client.execute_command("XGROUP", "CREATE", key, "sub", "0", "MKSTREAM")
        held = []
        for name in names:
            mapping = {"id": name, "raw": "{}", **fields}
            entry = await self.client.xadd(key, mapping)
            encoded = {part.encode(): value.encode() for part, value in mapping.items()}
            held.append(Held(STREAM, entry, encoded, inbox=inbox, touched=0.0))
        await self.client.execute_command("XREADGROUP", "GROUP", "sub", "c1", "COUNT", 1000, "STREAMS", key, ">")
        self.context.in_hand.add(held)
        return held

    async def pending(self, *, inbox: bool = False) -> int:
        """Return how many are pending."""
        return int((await self.client.xpending(self.context.keys.source(STREAM, "sub", inbox=inbox), "sub"))["pending"])

    def count(self, outcome: str) -> float:
        """Return how many ended so."""
        labels = {"subscription": "sub", "outcome": outcome}
        return self.registry.get_sample_value("event_router_outcomes_total", labels) or 0.0

    def fail(self, monkeypatch: pytest.MonkeyPatch, *errors: BaseException | None) -> list[Sequence[Call]]:
        """Let the next round trips fail, each with its error; return what each was to carry."""
        left = list(errors)
        trips: list[Sequence[Call]] = []

        async def run(calls: Sequence[Call]) -> list[Any]:
            trips.append(calls)
            error = left.pop(0) if left else None
            return [error] * len(calls) if error else await self._run(calls)

        monkeypatch.setattr(self.store, "run", run)
        return trips


@pytest.fixture
async def bench(store: Store, catalogue: Catalogue) -> Bench:
    """Return a bench."""
    return Bench(store, catalogue)


async def test_many_outcomes_share_a_round_trip(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes gather while a round trip is under way; acknowledgements go a batch to a call."""
    held = await bench.deliver(*(f"n{number}" for number in range(2 * BATCH + 3)))
    trips = bench.fail(monkeypatch)
    for item in held:
        bench.settler.settle(item, Done())
    await bench.settler.drain()
    assert [len(call.args) - 2 for call in trips[0]] == [BATCH, BATCH, 3]
    assert len(trips) == 1
    assert await bench.pending() == 0
    assert bench.count("done") == len(held)
    assert not bench.context.in_hand
    assert bench.settled == 1


@pytest.mark.parametrize("inbox", [False, True])
async def test_each_outcome_goes_to_its_place(bench: Bench, *, inbox: bool) -> None:
    """Done is acknowledged, a retry scheduled, the dead put away with its reason, what is given back in the inbox."""
    done, later, dead, back = await bench.deliver("done", "later", "dead", "back", inbox=inbox)
    bench.settler.settle(done, Done())
    bench.settler.settle(later, RetryIn(60), ValueError("again"))
    bench.settler.settle(dead, Dead("no use"), ValueError("never"))
    bench.settler.give_back(back)
    await bench.settler.drain()
    assert await bench.pending(inbox=inbox) == 0
    keys, client = bench.keys, bench.client
    [(_, parked)] = await client.xrange(keys.parked(STREAM, "sub"))
    assert (parked[b"id"], parked[b"attempts"]) == (b"later", b"1")
    assert b"again" in parked[b"history"]
    assert bench.scheduled == [(STREAM, 60)]
    [(_, letter)] = await client.xrange(keys.dead(STREAM, "sub"))
    assert (letter[b"id"], letter[b"reason"], letter[b"attempts"]) == (b"dead", b"no use", b"1")
    known = {} if inbox else {b"order": back.entry_id}
    [(_, returned)] = await client.xrange(keys.inbox(STREAM, "sub"))
    assert returned == {b"id": b"back", b"raw": b"{}", **known}
    assert len(await client.xrange(keys.events(STREAM))) == (0 if inbox else 4)
    assert [bench.count(name) for name in ("done", "retried", "dead", "returned", "lost")] == [1, 1, 1, 1, 0]


async def test_a_death_without_an_error_adds_no_attempt(bench: Bench) -> None:
    """What is put away without having been tried again keeps its counts."""
    [held] = await bench.deliver("a", attempts="1", crashes="2", history="x")
    bench.settler.settle(held, Dead("its worker died"))
    await bench.settler.drain()
    [(_, letter)] = await bench.client.xrange(bench.keys.dead(STREAM, "sub"))
    assert (letter[b"attempts"], letter[b"crashes"], letter[b"history"]) == (b"1", b"2", b"x")


async def test_a_store_that_is_away_is_told_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes are kept until the store takes them; until then the deliveries stay in hand."""
    done, dead = await bench.deliver("done", "dead")
    trips = bench.fail(monkeypatch, RedisConnectionError("away"), RedisConnectionError("away"))
    bench.settler.settle(done, Done())
    bench.settler.settle(dead, Dead("x"))
    await eventually(lambda: trips)
    assert len(bench.context.in_hand) == 2
    await bench.settler.drain()
    assert [len(calls) for calls in trips] == [2, 2, 2]
    assert bench.count("done") == bench.count("dead") == 1
    assert not bench.context.in_hand


async def test_a_retry_is_watched_only_once_it_is_stored(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever promotes is told of a retry after the store has it: told before, it would find nothing and forget."""
    [held] = await bench.deliver("a")
    seen: list[int] = []
    trips = bench.fail(monkeypatch, RedisConnectionError("away"))
    bench.settler.settle(held, RetryIn(0), ValueError())
    await eventually(lambda: trips)
    assert bench.scheduled == []
    await bench.settler.drain()
    seen.append(await bench.client.zcard(bench.keys.due(STREAM, "sub")))
    assert bench.scheduled == [(STREAM, 0)]
    assert seen == [1]


async def test_a_lost_reply_does_not_settle_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step whose reply was lost is tried again and finds nothing to do; its retry is watched all the same."""
    [held] = await bench.deliver("a")
    original = bench.store.run
    lost: list[int] = []

    async def run(calls: Sequence[Call]) -> list[Any]:
        replies = await original(calls)
        lost.append(1)
        return [RedisConnectionError("cut")] * len(calls) if len(lost) == 1 else replies

    monkeypatch.setattr(bench.store, "run", run)
    bench.settler.settle(held, RetryIn(5), ValueError())
    await bench.settler.drain()
    assert await bench.client.zcard(bench.keys.due(STREAM, "sub")) == 1
    assert bench.scheduled == [(STREAM, 5)]
    assert not bench.context.in_hand


async def test_what_was_lost_is_counted_so(bench: Bench) -> None:
    """A delivery that another consumer took over is not done, not dead and not given back, but lost."""
    done, dead, back = await bench.deliver("done", "dead", "back")
    key = bench.keys.events(STREAM)
    await bench.client.xack(key, "sub", done.entry_id)
    await bench.client.xclaim(key, "sub", "c2", 0, [dead.entry_id, back.entry_id])
    bench.settler.settle(done, Done())
    bench.settler.settle(dead, Dead("x"))
    bench.settler.give_back(back)
    await bench.settler.drain()
    assert bench.count("lost") == 3
    assert bench.count("done") == bench.count("dead") == bench.count("returned") == 0
    assert not bench.context.in_hand
    assert await bench.client.xlen(bench.keys.dead(STREAM, "sub")) == 0


async def test_a_group_that_is_gone_owns_nothing(bench: Bench) -> None:
    """After a flush there is nothing to settle: the deliveries are lost, and nobody tries for ever."""
    done, dead = await bench.deliver("done", "dead")
    await bench.client.delete(bench.keys.events(STREAM))
    bench.settler.settle(done, Done())
    bench.settler.settle(dead, Dead("x"))
    await bench.settler.drain()
    assert bench.count("lost") == 2
    assert not bench.context.in_hand


async def test_one_step_that_is_refused_holds_up_no_other(bench: Bench) -> None:
    """What the dead letters cannot take, since they are of another type, stays pending and takes nobody's room."""
    dead, done = await bench.deliver("dead", "done")
    letters = bench.keys.dead(STREAM, "sub")
    await bench.client.set(letters, "in the way")
    bench.settler.settle(dead, Dead("x"))
    bench.settler.settle(done, Done())
    await bench.settler.drain()
    assert bench.count("done") == 1
    assert bench.count("dead") == 0
    assert not bench.context.in_hand
    assert await bench.pending() == 1


async def test_a_delay_that_no_server_can_hold_is_cut(bench: Bench) -> None:
    """`RetryLater(sys.maxsize)` is a retry in the far future, and a score that can be read back."""
    [held] = await bench.deliver("a")
    bench.settler.settle(held, RetryIn(1e300), ValueError())
    await bench.settler.drain()
    [(_, score)] = await bench.client.zrange(bench.keys.due(STREAM, "sub"), 0, -1, withscores=True)
    assert 1e12 < score < 1e15


async def test_a_fault_of_ours_is_reported(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is not the store's does not go unseen."""
    [held] = await bench.deliver("a")

    async def run(_calls: object) -> list[Any]:
        raise ZeroDivisionError

    monkeypatch.setattr(bench.store, "run", run)
    bench.settler.settle(held, Done())
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(bench.settler.broken, 30)


async def test_a_cancelled_settler_is_no_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is ended by force reports nothing."""
    [held] = await bench.deliver("a")
    trips = bench.fail(monkeypatch, *[StoreRefused("busy")] * 50)
    bench.settler.settle(held, Done())
    await eventually(lambda: trips)
    assert bench.settler._task
    bench.settler._task.cancel()
    await bench.settler.drain()
    assert not bench.settler.broken.done()


async def test_trouble_with_the_store_is_not_logged_as_an_events(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged of settling does not carry the event that happened to be handled when it began."""
    [held] = await bench.deliver("a")
    bench.fail(monkeypatch, RedisConnectionError("away"))
    found: list[dict[str, Any]] = []
    bench.context.outage = Outage(_Log(found), bench.context.monotonic)
    bind_contextvars(event_id="another")
    bench.settler.settle(held, Done())
    await bench.settler.drain()
    unbind_contextvars("event_id")
    assert [line.get("event_id") for line in found] == [None, None]


class _Log:
    """Keeps what is logged, with what is bound then."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines

    def warning(self, event: str, **fields: Any) -> None:
        """Keep a line."""
        self._lines.append({**get_contextvars(), **fields, "event": event})

    info = warning
