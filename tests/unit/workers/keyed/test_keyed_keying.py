"""What a user's key function and an entry may do: the events beside them go on, and none is lost."""

from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from workers import Event, Subscription


async def one_is_dead(bench: Bench, subscription: Subscription) -> str:
    """Bring an event whose key cannot be made, and one beside it; return the dead letter's reason."""
    subscription.handler(bench.handle)
    await bench.publish("bad@a", "good@b")
    consumer = await bench.start(subscription)
    await eventually(lambda: bench.handled == ["good"] or any(task.done() for task in consumer._keeping))
    await bench.emptied(subscription)
    assert bench.handled == ["good"]
    return (await bench.dead(subscription))["bad"]["reason"]


async def test_the_error_of_a_key_function_may_have_any_text(bench: Bench) -> None:
    """An error whose text no encoding carries, or which has no end, is a dead letter's reason, of a bounded length."""

    def key(event: Event) -> str:
        if event.id == "bad":
            raise ValueError("\udcff" * 10_000)
        return str(event.resource)

    reason = await one_is_dead(bench, Subscription("sub", events=[STREAM], key=key))
    assert "\\udcff" in reason
    assert len(reason) < 3_000
