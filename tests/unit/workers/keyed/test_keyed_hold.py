"""`after_dead="hold"`: a key waits for an operator behind its dead letter; what is replayed has its old place."""

from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from router.store import scripts
from router.store.lines import Lines
from workers import DeadLetter, Delivery, Subscription
from workers.keyed.consumer import KeyedConsumer


def failing(bench: Bench, *dead: str, after_dead: str = "hold") -> tuple[Subscription, set[str]]:
    """Return a subscription that gives up these events, for as long as they are in the set."""
    subscription = Subscription("sub", events=[STREAM], key="resource", after_dead=after_dead)
    given_up = set(dead)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if delivery.event.id in given_up:
            raise DeadLetter("no such customer")
        await bench.handle(delivery)

    return subscription, given_up


async def replay(bench: Bench, *, number: int) -> None:
    """Replay the dead letters, as `dlq replay` does."""
    dead, inbox = bench.keys.dead(STREAM, "sub"), bench.keys.inbox(STREAM, "sub")
    ids = [entry_id for entry_id, _ in await bench.client.xrange(dead)]
    assert await bench.store.call(scripts.replay(dead, inbox, ids, "{}")) == number


async def test_a_key_waits_behind_its_dead_letter(bench: Bench) -> None:
    """The later events of a key with a dead letter stay until it is released, then come in order; other keys go on."""
    subscription, _ = failing(bench, "a1")
    await bench.publish("a1@a", "a2@a", "a3@a", "b1@b")
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    await bench.publish("b2@b", "a4@a")
    await bench.all_handled(2)
    await eventually(lambda: bench.lines_hold("sub", 3))
    held = (await bench.lines(subscription))["held"]
    assert len(held) == 1
    assert bench.handled == ["b1", "b2"]
    await bench.store.call(Lines(bench.keys, "sub").release([*held]))
    await bench.all_handled(5)
    assert bench.handled[2:] == ["a2", "a3", "a4"]
    await bench.emptied(subscription)


async def test_a_replayed_dead_letter_stands_before_the_later_events_of_its_key(bench: Bench) -> None:
    """What is replayed while its key is held is handled before what came after it, in the order of acceptance."""
    subscription, given_up = failing(bench, "a1")
    await bench.publish("a1@a", "a2@a", "a3@a")
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    given_up.clear()
    await replay(bench, number=1)
    await eventually(lambda: bench.lines_hold("sub", 3))
    held = (await bench.lines(subscription))["held"]
    await bench.store.call(Lines(bench.keys, "sub").release([*held]))
    await bench.all_handled(3)
    assert bench.handled == ["a1", "a2", "a3"]
    assert not await bench.dead(subscription)
    await bench.emptied(subscription)


async def test_replayed_dead_letters_of_a_key_that_goes_on_keep_their_order(bench: Bench) -> None:
    """Dead letters of one key that are replayed together are handled in the order in which the store took them."""
    subscription, given_up = failing(bench, "a1", "a2", "a3", after_dead="continue")
    await bench.publish("a1@a", "a2@a", "a3@a", "a4@a")
    await bench.start(subscription)
    await bench.all_handled(1)
    await eventually(lambda: bench.count(subscription, "dead") == 3)
    given_up.clear()
    await replay(bench, number=3)
    await bench.all_handled(4)
    assert bench.handled == ["a4", "a1", "a2", "a3"]
    await bench.emptied(subscription)


async def test_a_key_is_held_though_its_worker_dies_before_the_line_knows(bench: Bench) -> None:
    """A worker that is killed between the dead letter and the line leaves one letter, and its key is held."""
    subscription, _ = failing(bench, "a1")
    await bench.publish("a1@a", "a2@a")
    lease = 0.3
    first = await bench.start(subscription, "first", lease=lease)
    assert isinstance(first, KeyedConsumer)
    moves = first._moves
    settle = moves._settle

    def never(*args: object, **how: object) -> object:
        step = settle(*args, **how)  # type: ignore[arg-type]
        return step._replace(call=Lines(bench.keys, "sub").mark(step.held[0].claim))  # type: ignore[attr-defined]

    moves._settle = never  # type: ignore[method-assign, assignment]
    await eventually(lambda: bench.dead(subscription))
    await bench.kill(first)
    await bench.start(subscription, "second", lease=lease)

    async def held() -> bool:
        return "held" in await bench.lines(subscription)

    await eventually(held)
    assert await bench.client.xlen(bench.keys.dead(STREAM, "sub")) == 1
    assert await bench.lines_hold("sub", 1)
    assert not bench.handled


async def test_an_event_without_a_key_holds_nothing(bench: Bench) -> None:
    """A dead letter of an event that has no order leaves no key held: nothing can come behind it."""
    subscription = Subscription("sub", events=[STREAM], key=lambda _: None, after_dead="hold")

    @subscription.handler
    async def sync(_: Delivery) -> None:
        raise DeadLetter("no such customer")

    await bench.publish("a1@a", "a2@a")
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "dead") == 2)
    await bench.emptied(subscription)
    assert "held" not in await bench.lines(subscription)
