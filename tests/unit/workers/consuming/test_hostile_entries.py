"""Entries and keys written by hand: a worker never stops, each ends dead with the reason, the others flow."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.cli import Cli
from support.filling import CUSTOMERS, put_dead, put_events, put_group
from support.waiting import eventually

from config.settings import WorkerSettings
from router.cli.output.rows import attempt_json, dead_letter_json, dead_letter_row
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers import Delivery, Retry, Subscription
from workers.consuming.consumer import Consumer
from workers.delivery import read_history
from workers.metrics import WorkerMetrics
from workers.operations.change import Tally
from workers.operations.dead_letters.letters import DeadLetters, grouped
from workers.operations.dead_letters.selector import Selector
from workers.state.overview import overview

SUPPLIERS = CUSTOMERS.replace("customer", "supplier")
Fields = Mapping[bytes | str, bytes | str | int]

VALID: Fields = {"id": "bad", "at": "1", "raw": '{"event": "customer_changed"}'}
"""What an ingress might have written: with nothing worse than this, it is handled."""

NOT_OURS: dict[str, Callable[[], Fields]] = {
    "a field of somebody's": lambda: {"something": "else"},
    "fields of no encoding": lambda: {bytes(range(256)): bytes(range(256)), b"\xff": b"\x00"},
    "fields of no name": lambda: {"": ""},
    "no id": lambda: {"at": "1", "raw": '{"event": "customer_changed"}'},
    "no raw": lambda: {"id": "bad", "at": "1"},
    "raw of nothing": lambda: {**VALID, "raw": ""},
    "raw of no encoding": lambda: {**VALID, "raw": b"\xff\xfe\x00"},
    "raw nested too deeply": lambda: {**VALID, "raw": "[" * 100_000},
    "raw of 10 MB that is no JSON": lambda: {**VALID, "raw": b"x" * 10_000_000},
    "an array": lambda: {**VALID, "raw": "[1, 2]"},
    "no event": lambda: {**VALID, "raw": "{}"},
    "a time after the year 9999": lambda: {**VALID, "at": "999999999999999"},
    "20,000 fields, none of them ours": lambda: {f"f{number}": "v" for number in range(20_000)},
}
"""Entries that no handler can be given."""

ODD: dict[str, Callable[[], Fields]] = {
    "a time that is no number": lambda: {**VALID, "at": "noon"},
    "a time before 1970": lambda: {**VALID, "at": "-5"},
    "a time of 40 digits": lambda: {**VALID, "at": "9" * 40},
    "an id of no encoding": lambda: {**VALID, "id": b"\xff\xfe"},
    "an id of 1 MB": lambda: {**VALID, "id": "i" * 1_000_000},
    "an event of 10 MB": lambda: {**VALID, "raw": json.dumps({"event": "customer_changed", "v": "v" * 10_000_000})},
    "attempts that are no number": lambda: {**VALID, "attempts": "many", "crashes": "1e9"},
    "attempts below zero": lambda: {**VALID, "attempts": "-3", "crashes": "-1"},
    "attempts of 40 digits": lambda: {**VALID, "attempts": "9" * 40, "crashes": "9" * 40},
    "attempts in other digits": lambda: {**VALID, "attempts": "٣", "crashes": "\u00b2"},
    "a history of nonsense": lambda: {**VALID, "attempts": "1", "history": b"\xff\n{\n[]\nnull\n5\n\n"},
    "a history nested too deeply": lambda: {**VALID, "attempts": "1", "history": "[" * 100_000},
    "a history of 10 MB": lambda: {**VALID, "attempts": "1", "history": "x" * 10_000_000},
    "a history of other types": lambda: {
        **VALID,
        "attempts": "1",
        "history": json.dumps({"at": "2025-01-01", "attempt": "x", "error": [], "message": {}, "traceback": 5}),
    },
    "a reason before it is dead": lambda: {**VALID, "reason": b"\xff"},
    "20,000 fields behind ours": lambda: {**VALID, **{f"f{number}": "v" for number in range(20_000)}},
    "20,000 fields before ours": lambda: {**{f"f{number}": "v" for number in range(20_000)}, **VALID},
}
"""Entries that are strange, but hold an event."""


class Worker:
    """A subscription to two streams, at work."""

    def __init__(self, store: Store, consumer: Consumer, handled: list[str], tries: Counter[str]) -> None:
        self.tries = tries
        self.store = store
        self.client: Any = store.client
        self.keys = store.keys
        self.consumer = consumer
        self.handled = handled
        self._good = 0

    async def put(self, place: str, fields: Fields, stream: str = CUSTOMERS) -> None:
        """Write an entry by hand: into the stream, the inbox, or among the scheduled retries."""
        keys = {
            "events": self.keys.events(stream),
            "inbox": self.keys.inbox(stream, "sub"),
            "due": self.keys.parked(stream, "sub"),
        }
        entry_id = await self.client.xadd(keys[place], fields)
        if place == "due":
            await self.client.zadd(self.keys.due(stream, "sub"), {entry_id: 1})
            self.consumer._schedule.look_everywhere()

    async def flows(self, *streams: str) -> None:
        """Assert that events of these streams are handled: new ones, now."""
        for stream in streams or (CUSTOMERS, SUPPLIERS):
            self._good += 1
            name = f"good-{self._good}"
            await put_events(self.store, name, stream=stream)
            await eventually(lambda name=name: name in self.handled)

    def between(self) -> int:
        """Return how many of the good events between the bad ones were handled."""
        return sum(name.startswith("between-") for name in self.handled)

    async def dead(self, stream: str = CUSTOMERS) -> list[dict[bytes, bytes]]:
        """Return the dead letters."""
        return [fields for _, fields in await self.client.xrange(self.keys.dead(stream, "sub"))]

    async def is_done(self) -> None:
        """Assert that nothing is left in anybody's hands, and that no part of the consumer has ended."""
        await eventually(lambda: not self.consumer.context.in_hand)
        for key in (self.keys.events(CUSTOMERS), self.keys.inbox(CUSTOMERS, "sub")):
            assert (await self.client.xpending(key, "sub"))["pending"] == 0
        parts = [*self.consumer._reading, *self.consumer._keeping, *self.consumer._executor.tasks]
        assert not [part for part in parts if part.done()]


@asynccontextmanager
async def working(store: Store, catalogue: Catalogue) -> AsyncIterator[Worker]:
    """Run a subscription of quick retries; an event whose id begins with `fail` fails always."""
    handled: list[str] = []
    tries: Counter[str] = Counter()
    quick = Retry(max_attempts=3, first_delay=0.01, max_delay=0.02)
    subscription = Subscription("sub", events=[CUSTOMERS, SUPPLIERS], retry=quick, concurrency=4)

    @subscription.handler
    async def handle(delivery: Delivery) -> None:
        tries[delivery.event.id] += 1
        if delivery.event.id.startswith("fail"):
            raise ValueError(delivery.event.id)
        handled.append(delivery.event.id)

    settings = WorkerSettings(lease=60, block=0.1, sweep_interval=1, shutdown_timeout=5)
    consumer = Consumer(subscription, "c1", store, catalogue, settings, WorkerMetrics(CollectorRegistry()))
    await consumer.start()
    yield Worker(store, consumer, handled, tries)
    await consumer.stop()


@pytest.fixture
async def worker(store: Store, catalogue: Catalogue) -> AsyncIterator[Worker]:
    """Run it on every kind of store."""
    async with working(store, catalogue) as found:
        yield found


@pytest.fixture
async def real_worker(real_store: Store, catalogue: Catalogue) -> AsyncIterator[Worker]:
    """Run it on a real server; the fake one breaks on keys of another type itself."""
    async with working(real_store, catalogue) as found:
        yield found


@pytest.mark.parametrize("place", ["events", "inbox", "due"])
async def test_what_is_no_event_ends_dead_with_the_reason(worker: Worker, place: str) -> None:
    """An entry that is no event is a dead letter that says so, from wherever it was read; others flow."""
    for make in NOT_OURS.values():
        await worker.put(place, make())
    await worker.flows()
    await eventually(lambda: _count(worker, len(NOT_OURS)))
    reasons = [letter[b"reason"] for letter in await worker.dead()]
    assert all(reason.startswith(b"the entry cannot be read: ") for reason in reasons)
    await worker.is_done()
    assert len(worker.handled) == 2


@pytest.mark.parametrize("place", ["events", "inbox", "due"])
async def test_what_is_odd_is_handled_once(worker: Worker, place: str) -> None:
    """An entry that holds an event is handled, whatever else is in it."""
    for name, make in ODD.items():
        fields = make()
        await worker.put(place, {**fields, "id": name} if fields["id"] == "bad" else fields)
    await worker.flows()
    await eventually(lambda: len(worker.handled) >= len(ODD) + 2)
    await worker.is_done()
    assert set(worker.tries.values()) == {1}
    assert await worker.dead() == []


async def test_a_count_of_crashes_is_believed_and_ends_dead(worker: Worker) -> None:
    """An entry that says it has killed a great many workers is not given another."""
    await worker.put("inbox", {**VALID, "crashes": "999999999999999"})
    await worker.flows()
    [letter] = await worker.dead()
    assert b"died 999999999999999 times" in letter[b"reason"]
    await worker.is_done()


# Among the scheduled retries

NO_IDS = ["garbage", "", "-", "+", "(1", "1700", "99999999999999999999-0", "0-0", b"\xff\x00", "1-1-1"]


@pytest.mark.parametrize("score", [1, float("-inf")])
async def test_members_of_the_schedule_that_are_no_ids_hold_up_no_retry(worker: Worker, score: float) -> None:
    """What is scheduled and is no id of a parked body is dropped; retries that are, come."""
    due = worker.keys.due(CUSTOMERS, "sub")
    await worker.client.zadd(due, dict.fromkeys(NO_IDS, score))
    await worker.put("due", VALID)
    await eventually(lambda: worker.handled == ["bad"])

    async def empty() -> bool:
        return await worker.client.zcard(due) == 0

    await eventually(empty)
    await worker.is_done()


async def test_a_retry_that_is_never_due_holds_up_no_other(worker: Worker) -> None:
    """A due time without end stays where it is."""
    parked = await worker.client.xadd(worker.keys.parked(CUSTOMERS, "sub"), VALID)
    await worker.client.zadd(worker.keys.due(CUSTOMERS, "sub"), {parked: float("inf")})
    await worker.put("due", {**VALID, "id": "other"})
    await eventually(lambda: worker.handled == ["other"])
    await put_events(worker.store, "fail-1")
    await eventually(lambda: _count(worker, 1))


async def _count(worker: Worker, number: int) -> bool:
    return len(await worker.dead()) == number


# Among the dead letters


async def test_dead_letters_of_any_kind_are_listed_and_replayed(worker: Worker, catalogue: Catalogue) -> None:
    """Dead letters written by hand are read, counted and replayed like others, and keep none of the others back."""
    dead = worker.keys.dead(CUSTOMERS, "sub")
    for number, make in enumerate([*NOT_OURS.values(), *ODD.values()]):
        await worker.client.xadd(dead, make())
        await worker.client.xadd(dead, {**VALID, "id": f"between-{number}"})
    letters = DeadLetters(worker.store, catalogue)
    found = [letter async for letter in letters.newest(Selector())]
    total = 2 * (len(NOT_OURS) + len(ODD))
    assert len(found) == total
    for letter in found:
        json.dumps(dead_letter_json(letter), ensure_ascii=False).encode()
        json.dumps([attempt_json(attempt) for attempt in letter.attempts], ensure_ascii=False).encode()
        assert len(dead_letter_row(catalogue, letter)) > 0
    assert sum(group.count for group in await grouped(letters.newest(Selector()))) == total
    assert await letters.replay(found) == Tally(total, 0)
    await eventually(lambda: worker.between() == total // 2)
    await eventually(lambda: _settled(worker))
    assert len(await worker.dead()) == len(NOT_OURS)


async def _settled(worker: Worker) -> bool:
    lengths = [await worker.client.xlen(worker.keys.inbox(CUSTOMERS, "sub")), len(worker.consumer.context.in_hand)]
    return lengths == [0, 0]


HISTORIES = {
    "an error that is a list": {"at": "2025-01-01T00:00:00+00:00", "attempt": 1, "error": ["x"], "message": "m"},
    "a message that is an object": {"at": "2025-01-01T00:00:00+00:00", "attempt": 1, "error": "E", "message": {"a": 1}},
    "numbers": {"at": "2025-01-01T00:00:00+00:00", "attempt": "1", "error": 5, "message": 5, "traceback": 5},
    "nulls": {"at": "2025-01-01T00:00:00+00:00", "attempt": None, "error": None, "message": None, "traceback": None},
    "a time without a zone": {"at": "2025-01-01T00:00:00", "attempt": 1, "error": "E", "message": "m"},
    "a time before the year 1": {"at": "0001-01-01T00:00:00+14:00", "attempt": 1, "error": "E", "message": "m"},
    "a time after the year 9999": {"at": "9999-12-31T23:59:59-14:00", "attempt": 1, "error": "E", "message": "m"},
    "half a surrogate pair": {"at": "2025-01-01T00:00:00+00:00", "attempt": 1, "error": "E", "message": "\udcff"},
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_of_any_kind_is_shown(cli: Cli, name: str) -> None:
    """`dlq list|show|stats` show what a history holds, in tables and as JSON, or pass over what it does not."""
    history = json.dumps(HISTORIES[name])

    async def fill(store: Store) -> None:
        await put_group(store, "sub")
        await put_dead(store, "odd", subscription="sub", fields={"history": history, "attempts": 1})
        await put_dead(store, "good", subscription="sub")

    cli.fill(fill)
    assert [row["id"] for row in cli.json("dlq", "list")] == ["good", "odd"]
    assert sum(row["count"] for row in cli.json("dlq", "stats")) == 2
    assert cli.json("dlq", "show", "odd")["id"] == "odd"
    for command in (["list"], ["stats"], ["show", "odd"]):
        cli.ok("dlq", *command)
        cli.ok("dlq", *command, "--json")


async def test_a_history_of_other_types_reaches_a_handler_as_what_it_promises(catalogue: Catalogue) -> None:
    """The errors that a handler is given are of the types that `AttemptError` names."""
    for entry in HISTORIES.values():
        for error in read_history(json.dumps(entry).encode()):
            assert isinstance(error.attempt, int)
            assert all(isinstance(text, str) for text in (error.error, error.message, error.traceback))
            assert error.at.tzinfo is not None


# Keys of another type

PLACES = ["events", "inbox", "due", "parked", "dead"]


async def spoil(worker: Worker, place: str) -> str:
    """Put a text where a key of the suppliers should be; return its name."""
    keys = worker.keys
    name = keys.events(SUPPLIERS) if place == "events" else getattr(keys, place)(SUPPLIERS, "sub")
    await worker.client.set(name, "not what it should be")
    return str(name)


@pytest.mark.parametrize("place", PLACES)
async def test_a_key_of_another_type_holds_up_its_own_stream_only(real_worker: Worker, place: str) -> None:
    """With one key of one stream spoilt the other streams flow, failures too; mended, that stream flows again."""
    worker = real_worker
    await worker.flows()
    spoilt = await spoil(worker, place)
    if place not in {"events", "inbox"}:
        await put_events(worker.store, *(f"fail-{number}" for number in range(40)), stream=SUPPLIERS)
    for _ in range(3):
        await worker.flows(CUSTOMERS)
    await put_events(worker.store, "fail-here")
    await eventually(lambda: _count(worker, 1))
    await worker.client.delete(spoilt)
    await worker.flows()
    if place not in {"events", "inbox"}:

        async def all_dead() -> bool:
            return len({letter[b"id"] for letter in await worker.dead(SUPPLIERS)}) == 40

        await eventually(all_dead)


async def test_a_retry_that_cannot_be_scheduled_leaves_no_body_behind(worker: Worker) -> None:
    """A retry that cannot be scheduled, since the schedule is spoilt, is not parked either, however often tried."""
    spoilt = await spoil(worker, "due")
    await put_events(worker.store, "fail-1", stream=SUPPLIERS)
    await eventually(lambda: worker.tries["fail-1"] >= 3)
    assert await worker.client.xlen(worker.keys.parked(SUPPLIERS, "sub")) == 0
    await worker.client.delete(spoilt)

    async def dead() -> bool:
        return len(await worker.dead(SUPPLIERS)) == 1

    await eventually(dead)
    assert await worker.client.xlen(worker.keys.parked(SUPPLIERS, "sub")) == 0


@pytest.mark.parametrize("place", PLACES)
def test_commands_cope_with_a_key_of_another_type(cli: Cli, place: str) -> None:
    """A command that meets a spoilt key ends with a message, not with a traceback."""

    async def fill(store: Store) -> None:
        await put_group(store, "sub", CUSTOMERS)
        keys = store.keys
        name = keys.events(SUPPLIERS) if place == "events" else getattr(keys, place)(CUSTOMERS, "sub")
        await store.client.delete(name)
        await store.client.set(name, "x")

    cli.fill(fill)
    for command in (("streams",), ("events", "list"), ("dlq", "list"), ("dlq", "stats"), ("quarantine", "list")):
        result = cli.run(*command)
        assert "Traceback" not in result.output
        assert result.exit_code == 0 or result.stderr


# Names of no encoding


async def test_consumers_and_groups_of_no_encoding_stop_nobody(worker: Worker, catalogue: Catalogue) -> None:
    """A dead consumer whose name is no text is recovered like others; a group of such a name is listed."""
    events = worker.keys.events(CUSTOMERS)
    await put_events(worker.store, "held")
    await eventually(lambda: worker.handled == ["held"])
    await worker.client.xgroup_create(events, b"\xff\xfe", "0")
    await worker.client.xgroup_create(events, b"other", "0")
    await worker.client.execute_command("XREADGROUP", "GROUP", "sub", b"\xff", "COUNT", 1, "STREAMS", events, ">")
    await worker.client.zadd(worker.keys.consumers("sub"), {b"\xfe\xff": 1})
    sweeper, heartbeat = worker.consumer._sweeper, worker.consumer._heartbeat
    await sweeper.orphans()
    heartbeat._since = -1e9
    heartbeat._last = worker.consumer.context.monotonic()
    for consumer in await heartbeat.beat():
        await sweeper.recover(consumer)
    assert await worker.client.zscore(worker.keys.consumers("sub"), b"\xfe\xff") is None
    await overview(worker.store, catalogue.streams())
    await worker.flows()
