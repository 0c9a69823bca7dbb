"""Reading ahead."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.stores import real_store
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreRefused, is_no_group
from router.store.keys import Keys
from workers import Subscription
from workers.consuming.context import Context
from workers.consuming.pace import Pace
from workers.consuming.reader import Reader, readers_of
from workers.delivery import Held
from workers.metrics import WorkerMetrics

FIRST, SECOND = "visma-net-financial/customer_changed", "visma-net-financial/supplier_changed"


async def end(task: "asyncio.Task[Any]") -> None:
    """End a task for sure: on Python 3.11 the store's client swallows a cancellation now and then."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.05)


class Script:
    """A client that answers reads with what a test says, one after the other."""

    def __init__(self, *replies: Any) -> None:
        self.keys = Keys("x")
        self.replies = list(replies)
        self.commands_run: list[tuple[Any, ...]] = []
        self.plain: list[tuple[Any, ...]] = []
        self.refuse: BaseException | None = None
        self.empty = asyncio.Event()
        self.closed = 0
        self.unblocked: list[int] = []

    async def reader(self, _key: str, _block: float) -> "Script":
        """Be the reader's server too."""
        return self

    def client(self) -> "Script":
        """Be its connection too."""
        return self

    async def client_id(self) -> int:
        """Return the number of the connection."""
        return 7

    async def client_unblock(self, number: int) -> None:
        """Take note."""
        self.unblocked.append(number)

    async def execute_command(self, *command: Any) -> Any:
        """Answer a read."""
        self.commands_run.append(command)
        if not self.replies:
            self.empty.set()
            await asyncio.Event().wait()
        reply = self.replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return reply

    async def run(self, calls: list[Any]) -> list[Any]:
        """Say that nothing is pending."""
        return [[] for _ in calls]

    async def commands(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Answer what makes the groups."""
        self.plain += commands
        return [self.refuse or b"OK"] * len(commands)

    async def aclose(self) -> None:
        """Close."""
        self.closed += 1

    def counts(self) -> list[int]:
        """Return how many each read asked for."""
        return [command[command.index("COUNT") + 1] for command in self.commands_run]


class Quick:
    """Randomness that draws no delay at all."""

    def uniform(self, _low: float, _high: float) -> float:
        """Draw."""
        return 0.0


def context_of(store: Any, catalogue: Catalogue, streams: tuple[str, ...] = (FIRST,), **options: Any) -> Context:
    """Return a context."""
    settings = WorkerSettings(**{"block": 0.1, **options})
    metrics = WorkerMetrics(CollectorRegistry())
    random: Any = Quick()
    subscription = Subscription("sub", events=streams)
    return Context(subscription, streams, "c1", store, catalogue, settings, metrics, random=random)


def reader_of(
    context: Context, capacity: int, put: Callable[[list[Held]], None] = lambda _items: None, *streams: str
) -> tuple[Reader, Pace]:
    """Return a reader, of the first stream unless others are given, and its pace."""
    pace = Pace(context, capacity)
    return Reader(context, streams or (FIRST,), pace, put), pace


def entries(number: int, start: int = 0) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return entries as the client does."""
    return [(b"%d-1" % (start + n), {b"id": b"n%d" % (start + n)}) for n in range(number)]


EVENTS = b"x:{visma-net-financial/customer_changed}:events"
INBOX = b"x:{visma-net-financial/customer_changed}:inbox:sub"


async def read(script: Script, catalogue: Catalogue, capacity: int = 10, **options: Any) -> tuple[Reader, list[Held]]:
    """Run a reader until the script has ended."""
    got: list[Held] = []
    reader, _ = reader_of(context_of(script, catalogue, **options), capacity, got.extend)
    task = asyncio.create_task(reader.run())
    ended = asyncio.create_task(script.empty.wait())
    await asyncio.wait([ended, task], timeout=10, return_when=asyncio.FIRST_COMPLETED)
    for running in (task, ended):
        running.cancel()
    await asyncio.gather(task, ended, return_exceptions=True)
    return reader, got


async def test_inboxes_come_before_the_streams(catalogue: Catalogue) -> None:
    """One read takes from all streams and inboxes, retries first, and knows which delivery is of which."""
    script = Script({INBOX: entries(1), EVENTS: entries(2, 5)})
    reader, got = await read(script, catalogue)
    command = script.commands_run[0]
    assert command[command.index("STREAMS") + 1 :] == (INBOX, EVENTS, ">", ">")
    assert [(held.event_id, held.inbox, held.stream) for held in got] == [
        ("n0", True, FIRST),
        ("n5", False, FIRST),
        ("n6", False, FIRST),
    ]
    assert list(reader._context.in_hand) == got


async def test_an_entry_without_fields_is_a_delivery(catalogue: Catalogue) -> None:
    """An entry that was deleted while pending comes without fields, and is no error."""
    _, [held] = await read(Script({EVENTS: [(b"1-1", None)]}), catalogue)
    assert held.fields == {}


async def test_it_asks_for_what_there_is_room_for(catalogue: Catalogue) -> None:
    """The count holds for each stream: it is the room, divided among the streams that had something."""
    script = Script(None, {EVENTS: entries(1)}, None)
    await read(script, catalogue, capacity=10, prefetch=1)
    assert script.counts()[0] == 5  # the stream and its inbox
    assert script.counts()[2] in (9, 10)  # the stream alone had something


async def test_a_read_is_bounded(catalogue: Catalogue) -> None:
    """However much room there is, one read takes no more than a bound from each stream."""
    script = Script(None)
    await read(script, catalogue, capacity=100_000)
    assert script.counts()[0] == 250


async def test_it_reads_no_further_than_there_is_room(catalogue: Catalogue) -> None:
    """With its hands full it waits, and goes on once half of them are free again."""
    script = Script({EVENTS: entries(4)}, {EVENTS: entries(4, 4)})
    context = context_of(script, catalogue, prefetch=1)
    reader, _ = reader_of(context, 3)
    task = asyncio.create_task(reader.run())
    await eventually(lambda: len(context.in_hand) == 4)
    context.in_hand.settle([*context.in_hand][-1:])
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(script.commands_run) == 1
    context.in_hand.settle([*context.in_hand][-1:])
    await eventually(lambda: len(script.commands_run) == 2)
    await end(task)


async def test_how_far_ahead_follows_the_speed(catalogue: Catalogue) -> None:
    """A fast handler is read further ahead for, up to the setting; a slow one is not."""
    clock = [0.0]
    context = context_of(Script(), catalogue, prefetch=50)
    context.monotonic = lambda: clock[0]
    pace = Pace(context, 4)
    assert pace.target() == 4
    for number, ahead in ((100, 25), (100, 25), (10_000, 50), (0, 0)):
        clock[0] += 1.0
        pace.was_read("reader", 1, number)
        assert pace.target() == 4 + ahead


async def test_a_lost_group_is_made_again(catalogue: Catalogue) -> None:
    """When the server has lost the group, all groups are made again, at the earliest entry, and reading goes on."""
    error = StoreRefused("NOGROUP No such key or consumer group")
    script = Script(error, {EVENTS: entries(1)})
    _, got = await read(script, catalogue)
    assert [held.event_id for held in got] == ["n0"]
    assert [command[:2] + command[3:5] for command in script.plain] == [("XGROUP", "CREATE", "sub", "0")] * 2


async def test_groups_that_cannot_be_made_are_tried_again(catalogue: Catalogue) -> None:
    """While the store refuses, each read finds out anew."""
    error = StoreRefused("UNBLOCKED the stream key no longer exists")
    script = Script(error, error, {EVENTS: entries(1)})
    script.refuse = StoreRefused("LOADING")
    _, got = await read(script, catalogue)
    assert len(got) == 1


@pytest.mark.parametrize(
    "error",
    [RedisConnectionError("cut"), TimeoutError(), OSError("net"), StoreRefused("LOADING"), StoreRefused("x")],
)
async def test_reading_goes_on_after_any_error_of_the_store(catalogue: Catalogue, error: Exception) -> None:
    """Whatever the store says, the reader is there when it answers again; it makes groups for none of these."""
    script = Script(error, error, {EVENTS: entries(1)})
    _, got = await read(script, catalogue)
    assert len(got) == 1
    assert script.plain == []


async def test_a_stop_ends_the_wait_for_room(catalogue: Catalogue) -> None:
    """A reader that waits for room does not hold up a stop, and closes its connections."""
    script = Script({EVENTS: entries(9)})
    context = context_of(script, catalogue)
    reader, _ = reader_of(context, 1)
    context.settings = WorkerSettings(prefetch=1)
    task = asyncio.create_task(reader.run())
    await eventually(lambda: context.in_hand)
    await reader.stop()
    await asyncio.wait_for(task, 30)
    assert script.closed
    assert len(script.commands_run) == 1


async def test_reading_from_a_store(store: Store, catalogue: Catalogue) -> None:
    """On a store: what is in the streams is read once, and a stop ends the blocked read."""
    context = context_of(store, catalogue, (FIRST, SECOND))
    assert await context.ensure_groups() == 4
    assert await context.ensure_groups() == 0
    for stream in (FIRST, SECOND):
        await store.client.xadd(store.keys.events(stream), {"id": stream})
    got: list[Held] = []
    readers = readers_of(context, Pace(context, 10), got.extend)
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    await eventually(lambda: len(got) == 2)
    assert {held.event_id for held in got} == {FIRST, SECOND}
    for reader in readers:
        await reader.stop()
    await asyncio.wait_for(asyncio.gather(*tasks), 30)


@pytest.mark.parametrize(
    "kind", [pytest.param("server", marks=pytest.mark.real), pytest.param("cluster", marks=pytest.mark.cluster)]
)
async def test_a_stop_ends_the_reads_of_all_streams(
    kind: str, request: pytest.FixtureRequest, catalogue: Catalogue
) -> None:
    """However long reads block and however many there are, as on a Cluster one for each stream, a stop is prompt."""
    async with real_store(request.getfixturevalue(f"{kind}_url")) as store:
        context = context_of(store, catalogue, catalogue.streams(), block=60)
        await context.ensure_groups()
        readers = readers_of(context, Pace(context, 10), lambda _items: None)
        tasks = [asyncio.create_task(reader.run()) for reader in readers]
        await eventually(lambda: all(reader._connection._number is not None for reader in readers))
        reading = asyncio.gather(*tasks)
        async with asyncio.timeout(30):
            while not reading.done():
                await asyncio.gather(*(reader.stop() for reader in readers))
                await asyncio.wait([reading], timeout=0.05)
        await reading


async def test_a_missing_group_is_recognised_on_every_server(store: Store) -> None:
    """The texts of servers differ; what they say is the same."""
    key = store.keys.events(FIRST)
    command = ("XREADGROUP", "GROUP", "sub", "c1", "STREAMS", key, ">")
    [error] = await store.commands([command])
    assert is_no_group(error)
    assert not is_no_group(StoreRefused("BUSYGROUP"))
    assert not is_no_group(RedisConnectionError("NOGROUP"))
    assert not is_no_group(None)
    assert is_no_group(StoreRefused("WRONGTYPE Operation against a key holding the wrong kind of value"))


async def test_a_key_of_another_type_is_noted_and_the_others_get_their_groups(
    store: Store, catalogue: Catalogue
) -> None:
    """Where somebody put something else in the place of a stream, that one is left out, until it is mended."""
    context = context_of(store, catalogue)
    key = store.keys.events(FIRST)
    await store.client.set(key, "in the way")
    assert await context.ensure_groups() == 1
    assert context.spoilt == {key}
    await store.client.delete(key)
    assert await context.ensure_groups() == 1
    assert context.spoilt == set()


@pytest.mark.parametrize(("start", "first"), [("latest", "$"), ("earliest", "0")])
async def test_where_groups_start(catalogue: Catalogue, start: str, first: str) -> None:
    """`latest` holds for streams; an inbox always starts at its first entry, since it is the subscription's own."""
    script = Script()
    await context_of(script, catalogue).ensure_groups(start)
    assert [command[4] for command in script.plain] == [first, "0"]


# Deliveries whose reply was lost


async def stranded(store: Store, catalogue: Catalogue, number: int, **options: Any) -> tuple[Context, list[bytes]]:
    """Let entries be delivered to a consumer that does not learn of them; return its context and their ids."""
    context = context_of(store, catalogue, **options)
    await context.ensure_groups()
    key = store.keys.events(FIRST)
    ids = [await store.client.xadd(key, {"id": f"n{n}"}) for n in range(number)]
    command = ("XREADGROUP", "GROUP", "sub", "c1", "COUNT", number, "STREAMS", key, ">")
    await store.commands([command])
    return context, ids


async def look(context: Context, *, failed: bool = True) -> list[Held]:
    """Look for stranded deliveries as a reader does after a read that failed."""
    reader, _ = reader_of(context, 10)
    if failed:
        reader._stranded.read_failed()
    assert reader._stranded.due is failed
    return await reader._stranded.find()


async def test_what_a_lost_reply_brought_is_found(store: Store, catalogue: Catalogue) -> None:
    """After a read that failed, everything pending with this consumer that it does not know of is its to handle."""
    context, ids = await stranded(store, catalogue, 205)
    known = Held(FIRST, ids[7], {}, inbox=False, touched=0.0)
    context.in_hand.add([known])
    found = await look(context)
    assert [held.entry_id for held in found] == ids[:7] + ids[8:]
    assert found[0].event_id == "n0"
    assert not found[0].inbox


async def test_what_others_hold_is_not_stranded(store: Store, catalogue: Catalogue) -> None:
    """A delivery that another consumer has is that one's, and with nothing missing nothing is found."""
    context, ids = await stranded(store, catalogue, 2)
    await store.client.xclaim(store.keys.events(FIRST), "sub", "c2", 0, ids)
    assert await look(context) == []


async def test_a_stranded_entry_that_somebody_deleted_is_counted(store: Store, catalogue: Catalogue) -> None:
    """An entry that is gone from its stream is loss: it is shown, and pending no more."""
    context, ids = await stranded(store, catalogue, 2)
    await store.client.xdel(store.keys.events(FIRST), ids[0])
    assert [held.entry_id for held in await look(context)] == ids[1:]
    assert (await store.client.xpending(store.keys.events(FIRST), "sub"))["pending"] == 1
    assert context.metrics.gone.labels("sub")._value.get() == 1


async def test_nothing_is_stranded_in_a_group_that_is_gone(store: Store, catalogue: Catalogue) -> None:
    """A group that was lost holds nothing; the next read makes it again."""
    context, _ = await stranded(store, catalogue, 1)
    await store.client.delete(store.keys.events(FIRST))
    assert await look(context) == []


async def test_a_store_that_is_away_is_looked_through_later(
    store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is an error is not taken for nothing to find: it stays due."""
    context, _ = await stranded(store, catalogue, 1)

    async def away(calls: list[Any]) -> list[Any]:
        return [RedisConnectionError("away")] * len(calls)

    reader, _ = reader_of(context, 10)
    reader._stranded.read_failed()
    with monkeypatch.context() as patched:
        patched.setattr(store, "run", away)
        with pytest.raises(RedisConnectionError):
            await reader._stranded.find()
    assert reader._stranded.due
    assert len(await reader._stranded.find()) == 1
    assert not reader._stranded.due


async def test_it_is_looked_for_again_a_lease_later(catalogue: Catalogue) -> None:
    """A frozen server may carry out the read after the first look; without a failure the sweep's interval is enough."""
    clock = [1000.0]
    context = context_of(Script(), catalogue, lease=15, sweep_interval=300)
    context.monotonic = lambda: clock[0]
    places = reader_of(context, 10)[0]._stranded
    looks = []
    for now in range(1000, 1700):
        clock[0] = now
        if now == 1010:
            places.read_failed()
        if places.due:
            looks.append(now)
            await places.find()
    assert looks[:3] == [1010, 1025, 1300]


async def test_a_reader_hands_on_what_was_stranded(store: Store, catalogue: Catalogue) -> None:
    """On a store: a reader whose consumer has stranded deliveries finds them when the time to look comes."""
    context, ids = await stranded(store, catalogue, 3, sweep_interval=0.05)
    got: list[Held] = []
    reader, _ = reader_of(context, 10, got.extend)
    task = asyncio.create_task(reader.run())
    await eventually(lambda: len(got) == 3)
    await reader.stop()
    await asyncio.wait_for(task, 30)
    assert [held.entry_id for held in got] == ids
    assert list(context.in_hand) == got
