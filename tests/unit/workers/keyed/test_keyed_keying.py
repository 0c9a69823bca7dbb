"""What a user's key function and an entry may do: the events beside them go on, and none is lost."""

import pytest
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from router.events.catalogue import Catalogue
from workers import Event, Subscription
from workers.keyed.keying import Keying


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


async def test_a_key_function_may_run_out_of_memory(bench: Bench) -> None:
    """An event for which a key function needs more memory than there is becomes a dead letter, as for other errors."""

    def key(event: Event) -> str:
        return str(event.resource) * (10**15 if event.id == "bad" else 1)

    reason = await one_is_dead(bench, Subscription("sub", events=[STREAM], key=key))
    assert reason == "its key could not be made: MemoryError"


RAW = b'{"event": "customer_changed", "companyId": "1", "resourceUri": "v1/customer/1"}'


@pytest.mark.parametrize(
    "written",
    [
        b"{}",
        b"not JSON",
        b'{"resource": 5}',
        b'{"id": "another", "publisher": "visma-net-financial", "type": "customer_changed", "resource": "x"}',
        b'{"id": "one", "publisher": "visma-net-financial", "type": "customer_created", "resource": "x"}',
        b'{"id": "one", "publisher": "visma-net-financial", "type": "customer_changed", "resource": "x"}',
    ],
)
@pytest.mark.parametrize("key", ["resource", "company"])
def test_an_event_that_cannot_be_read_has_the_key_of_its_body(written: bytes, key: str, catalogue: Catalogue) -> None:
    """The key is of the event that the handler gets: where `event` is none, or another's, that is made of `raw`."""
    keying = Keying(Subscription("sub", events=[STREAM], key=key), catalogue)
    fields = {b"id": b"one", b"at": b"1700000000000", b"raw": RAW}
    unwritten = keying.of(STREAM, fields)
    assert unwritten.key is not None
    assert keying.of(STREAM, {**fields, b"event": written}) == unwritten
