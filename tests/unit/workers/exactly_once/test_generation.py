"""Which replay a delivery is of: what makes its effect once more, and what does not."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.keyed_bench import SHORT, STREAM, Bench
from support.waiting import eventually

from config.settings import Settings
from router.cli.events.show import place_text
from router.events.catalogue import Catalogue
from router.events.identify import identify
from router.intake.entry import entry_of
from router.store.keys import Keys
from workers import Coalesce, DeadLetter, Delivery, Retry, Subscription, once
from workers.operations.dead_letters.letters import DeadLetters
from workers.operations.dead_letters.selector import Selector
from workers.operations.events import EventFilter
from workers.operations.handover import Handover, ReplayOptions
from workers.operations.operations import Operations
from workers.outcomes import Done, RetryIn
from workers.testing import deliver, sample_event

ANY = pytest.mark.parametrize("key", [None, "resource"], ids=["unkeyed", "keyed"])
AT_ONCE = Retry(max_attempts=3, first_delay=0, max_delay=0)


class Handler:
    """Notes the deliveries, and ends each in what is put there for it: nothing for done."""

    def __init__(self) -> None:
        self.seen: list[Delivery] = []
        self.ends: list[Exception] = []

    async def handle(self, delivery: Delivery) -> None:
        """Handle one."""
        self.seen.append(delivery)
        if self.ends:
            raise self.ends.pop(0)

    @property
    def generations(self) -> list[str]:
        """Those of the deliveries so far."""
        return [delivery.generation for delivery in self.seen]

    async def saw(self, number: int) -> None:
        """Wait until there were so many."""
        await eventually(lambda: len(self.seen) >= number)


def subscription(function: Any, **options: Any) -> Subscription:
    """Return a subscription with this handler."""
    made = Subscription("sub", events=[STREAM], retry=AT_ONCE, **options)

    async def handle(delivery: Delivery) -> None:
        await function(delivery)

    made.handler(handle)
    return made


def ids_of(deliveries: list[Delivery]) -> set[str]:
    """Return the ids of all events that deliveries stand for."""
    return {id_ for one in deliveries for id_ in (one.event.id, *(merged.id for merged in one.merged))}


async def replay_dead(bench: Bench, number: int = 1) -> None:
    """Replay the dead letters, once so many are there."""

    async def replayed() -> bool:
        letters = await bench.client.xrange(bench.keys.dead(STREAM, "sub"))
        if len(letters) < number:
            return False
        found = DeadLetters(bench.store, bench.catalogue)
        await found.replay([letter async for letter in found.oldest(Selector(), await found.freeze(Selector()))])
        return True

    await eventually(replayed)


@ANY
async def test_each_replay_is_a_generation_and_its_retries_are_none(bench: Bench, key: Any) -> None:
    """The first delivery has none; each replay, of a dead letter or of an event, has its own, and retries keep it."""
    handler = Handler()
    handler.ends = [ValueError(), DeadLetter(), ValueError(), DeadLetter()]
    await bench.publish("a")
    await bench.start(subscription(handler.handle, key=key))
    await replay_dead(bench)
    await handler.saw(4)
    await replay_dead(bench)
    await handler.saw(5)
    for again in ("", "once more"):
        given = Handover(bench.store, bench.catalogue, "sub", EventFilter(), ReplayOptions(again=again))
        assert (await given.run(reason="again")).counts["changed"] == 1
    await handler.saw(7)
    first, retried, replay, its_retry, second, third, fourth = handler.generations
    assert first == retried == ""
    assert replay == its_retry
    assert len({"", replay, second, third, fourth}) == 5


@ANY
async def test_a_redelivery_after_a_crash_is_no_generation(bench: Bench, key: Any) -> None:
    """What a worker had in hand when it died comes again as the same delivery: the first one, or that of its replay."""
    running = asyncio.Event()

    async def hang(delivery: Delivery) -> None:
        handler.seen.append(delivery)
        running.set()
        await asyncio.Event().wait()

    handler = Handler()
    handler.ends = [DeadLetter()]
    await bench.publish("a")
    doomed = await bench.start(subscription(hang, key=key), "c1", lease=SHORT)
    await running.wait()
    await bench.kill(doomed)
    working = await bench.start(subscription(handler.handle, key=key), "c2", lease=SHORT, sweep_interval=SHORT)
    await handler.saw(2)
    await eventually(lambda: bench.client.xlen(bench.keys.dead(STREAM, "sub")))
    await bench.stop(working)
    await replay_dead(bench)
    running.clear()
    doomed = await bench.start(subscription(hang, key=key), "c3", lease=SHORT)
    await running.wait()
    await bench.kill(doomed)
    await bench.start(subscription(handler.handle, key=key), "c4", lease=SHORT, sweep_interval=SHORT)
    await handler.saw(4)
    first, again, replay, replay_again = handler.generations
    assert first == again == ""
    assert replay == replay_again != ""


async def test_merged_events_have_each_their_own(bench: Bench) -> None:
    """A replay that is merged into newer events is told from them; the replay of a merged dead letter is one of all."""
    handler = Handler()
    handler.ends = [DeadLetter()]
    merging = {"key": "resource", "coalesce": Coalesce(quiet=SHORT, within=SHORT)}
    await bench.publish("a@1", "b@1")
    await bench.start(subscription(handler.handle, **merging))
    await replay_dead(bench)
    await handler.saw(2)
    first, replay = handler.seen
    assert [(merged.id, merged.generation) for merged in first.merged] == [("a", "")]
    assert first.generation == ""
    assert [(merged.id, merged.generation) for merged in replay.merged] == [("a", replay.generation)]
    assert replay.merged[0].publisher == "visma-net-financial"

    given = Handover(bench.store, bench.catalogue, "sub", EventFilter())
    assert (await given.run(reason="again")).counts["changed"] == 2
    await bench.publish("c@1")
    await eventually(lambda: ids_of(handler.seen[2:]) == {"a", "b", "c"})
    merged = {merged.id: merged.generation for delivery in handler.seen[2:] for merged in delivery.merged}
    own = {delivery.event.id: delivery.generation for delivery in handler.seen[2:]}
    assert own["c"] == ""
    again = {**own, **merged}
    assert len({"", replay.generation, again["a"], again["b"]}) == 4


def test_where_every_webhook_is_stored_each_is_a_generation(catalogue: Catalogue) -> None:
    """Of a publisher whose ids repeat, two webhooks of one id are two events, whose effects are both made."""
    (item,) = identify(catalogue, "visma-net-financial", b'{"event": "customer_changed", "notificationId": "a"}', None)

    def generation(webhook: str) -> Any:
        fields = entry_of(Keys("er"), "visma-net-financial", item, 1, webhook=webhook).fields
        return dict(zip(fields[::2], fields[1::2], strict=True)).get(b"generation")

    assert generation("") is None
    assert (generation("w1"), generation("w2")) == ("w1", "w2")


@ANY
async def test_an_event_whose_effect_was_made_is_done_and_counted(bench: Bench, tmp_path: Path, key: Any) -> None:
    """A worker that died between commit and acknowledgement made the effect: the next skips it, and that is done."""
    place = tmp_path / "effects.db"
    with sqlite3.connect(place) as connection:
        once.create(connection)
        connection.execute("CREATE TABLE effects (id TEXT)")
    connection.close()
    committed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def make(delivery: Delivery) -> None:
        connection = sqlite3.connect(place)
        try:
            with once(delivery, connection):
                connection.execute("INSERT INTO effects VALUES (?)", (delivery.event.id,))
        finally:
            connection.close()

    async def make_and_hang(delivery: Delivery) -> None:
        await loop.run_in_executor(None, make, delivery)
        committed.set()
        await asyncio.Event().wait()

    await bench.publish("a")
    doomed = await bench.start(subscription(make_and_hang, key=key), "c1", lease=SHORT)
    await committed.wait()
    await bench.kill(doomed)
    made = Subscription("sub", events=[STREAM], key=key)
    made.handler(make)
    await bench.start(made, "c2", lease=SHORT, sweep_interval=SHORT)
    await eventually(lambda: bench.count(made, "done") == 1)
    counted = bench.registry.get_sample_value("event_router_already_done_total", {"subscription": "sub"})
    assert counted == 1
    operations = Operations(bench.store, bench.catalogue, Settings())
    stored = await operations.event("a")
    assert stored is not None
    (place_of_it,) = (await operations.life(stored)).subscriptions
    assert place_text(place_of_it) == "its effect was there already when it was delivered last (once)"
    assert bench.count(made, "retried") == bench.count(made, "dead") == 0
    with sqlite3.connect(place) as connection:
        assert connection.execute("SELECT id FROM effects").fetchall() == [("a",)]
    connection.close()


async def test_a_batch_is_not_done_with_one_event_of_it(tmp_path: Path) -> None:
    """A block that ends a batch handler settles its own event alone; the others failed, and say what to use."""
    connection = sqlite3.connect(tmp_path / "effects.db")
    once.create(connection)
    made = Subscription("sub", events=[STREAM])

    @made.handler
    async def handle(batch: list[Delivery]) -> None:
        for delivery in batch:
            with once(delivery, connection):
                pass

    events = [sample_event(STREAM, id=id_) for id_ in "abc"]
    assert await deliver(made, events[1]) == [Done()]
    outcomes = await deliver(made, *events)
    assert [type(outcome) for outcome in outcomes] == [RetryIn, Done, RetryIn]
    assert await deliver(made, *events, attempt=2) == [Done(), Done(), Done()]
    connection.close()
