"""Forwards that are added, changed and removed while they run, and what is refused before anything runs."""

import asyncio
import base64
from typing import Any

import pytest
from support.forwarding import OTHER_SECRET, SECRET, answering, forward_settings, forwarding, settings_with
from support.keyed_bench import Bench
from support.receiver import OK, Receiver, Request, receiving
from support.waiting import eventually

from config.errors import ConfigError
from config.forward import ForwardSettings
from config.settings import Settings
from router.events.catalogue import Catalogue
from workers import Event, Subscription
from workers.forward.making import check_forwards, is_same_subscription
from workers.incidents import Incidents
from workers.service import check_names
from workers.state.forwards import last_exchanges


def ids(receiver: Receiver) -> list[str]:
    """Return which events a receiver got."""
    return [request.event_id for request in receiver.requests]


@pytest.mark.parametrize("changed", [{"secrets": [OTHER_SECRET]}, {"concurrency": 3}], ids=str)
async def test_what_is_under_way_ends_as_it_began(bench: Bench, changed: dict[str, Any]) -> None:
    """A change ends no exchange: what is under way finishes once, and what follows is sent as the new settings say."""
    going, begun = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> bytes:
        begun.set()
        await going.wait()
        return OK

    async with receiving(slow) as old, receiving() as new:
        before = forward_settings(old, concurrency=1)
        async with forwarding(bench, before) as running:
            forward, consumer = running._running["crm"].forward, running._running["crm"].consumer
            await bench.publish("e1")
            await begun.wait()
            running.want(settings_with(forward_settings(new, **{"concurrency": 1, **changed})))
            reads_no_more = [*consumer._reading]
            await eventually(
                lambda: forward.settings.secrets != before.secrets or all(task.done() for task in reads_no_more)
            )
            await bench.publish("e2")
            going.set()
            await eventually(lambda: ids(new) == ["e2"])
        assert ids(old) == ["e1"]


async def test_one_that_is_added_and_one_that_is_removed(bench: Bench) -> None:
    """A new forward begins, and one that is named no more ends; the others notice nothing."""
    async with receiving() as receiver:
        kept, removed, added = (forward_settings(receiver, name) for name in ("kept", "removed", "added"))
        async with forwarding(bench, kept, removed) as running:
            consumer = running._running["kept"].consumer
            running.want(settings_with(kept, added))
            await eventually(lambda: set(running._running) == {"kept", "added"})
            assert running._running["kept"].consumer is consumer
            await bench.publish("e1")
            await eventually(lambda: len(receiver.requests) >= 2)
            await eventually(lambda: _known(bench, {"kept", "added"}))
        names = {request.headers["event-router-subscription"] for request in receiver.requests}
        assert names == {"kept", "added"}


async def test_one_that_is_gone_and_then_removed(bench: Bench) -> None:
    """The incident of a forward whose receiver was gone is over once the settings name it no more."""
    incidents = Incidents(bench.store)

    async def listed() -> int:
        return len(await incidents.listed())

    async def none() -> bool:
        return await listed() == 0

    async with receiving(answering(410)) as receiver, forwarding(bench, forward_settings(receiver)) as running:
        await bench.publish("e1")
        await eventually(listed)
        running.want(settings_with())
        await eventually(none)


async def _known(bench: Bench, names: set[str]) -> bool:
    return set(await last_exchanges(bench.store)) == names


async def test_a_wrong_one_changes_nothing(bench: Bench) -> None:
    """Where one of the new settings cannot be, all run on as they were."""
    async with receiving() as receiver:
        right = forward_settings(receiver)
        async with forwarding(bench, right) as running:
            wrong = forward_settings(receiver, "wrong", events=["nobody/*"])
            with pytest.raises(ConfigError, match="forward 'wrong': no stream matches 'nobody/"):
                running.want(settings_with(forward_settings(receiver, format="raw"), wrong))
            await bench.publish("e1")
            await eventually(lambda: len(receiver.requests) == 1)
            assert set(running._running) == {"crm"}
        assert "cloudevents" in receiver.requests[0].headers["content-type"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"events": ["*/custommer_changed"]}, "forward 'crm': no stream matches"),
        ({"where": {"colour": "red"}}, "forward 'crm': "),
        ({"url": "http://10.0.0.1/", "allow_private": []}, "forward 'crm': nothing was sent: 10.0.0.1"),
        ({"url": "http://169.254.169.254/", "allow_private": ["0.0.0.0/0"]}, "forward 'crm': nothing was sent"),
        ({"url": "https://x.example/", "ca_file": "missing.pem"}, "forward 'crm': ca_file=missing.pem"),
        ({"feedback": True}, "forward 'crm': subscription 'crm' gives"),
    ],
)
async def test_what_is_refused_at_the_start(catalogue: Catalogue, options: dict[str, Any], error: str) -> None:
    """Each message is one sentence that names the forward."""
    wrong = forward_settings(Receiver(OK, port=1), **options)
    with pytest.raises(ConfigError) as caught:
        check_forwards(settings_with(wrong), catalogue)
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_subscription_of_the_same_name() -> None:
    """A worker does not start with a subscription that has a forward's name: each would get a part of the events."""
    taken = Subscription("crm", events=["*"])

    @taken.handler
    async def handle(event: Event) -> None: ...

    with pytest.raises(ConfigError, match=r"subscription 'crm' has the name of a \[\[forward\]\]"):
        check_names(settings_with(forward_settings(Receiver(OK, port=1))), [taken])
    check_names(Settings(), [taken])


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"url": "https://other.example/"}, True),
        ({"headers": {"a": "b"}}, True),
        ({"limit": {"rate": 1}}, True),
        ({"key": "resource"}, False),
        ({"timeout": 1}, False),
        ({"where": {"company_id": "1"}}, False),
        ({"retry": {"max_attempts": 1}}, False),
    ],
)
def test_what_a_running_subscription_takes_over(changed: dict[str, Any], *, same: bool) -> None:
    """Where and how it is sent may change at any time; what is sent and when takes a new consumer."""
    one = forward_settings(Receiver(OK, port=1))
    other = ForwardSettings.model_validate({**one.model_dump(), **changed})
    assert is_same_subscription(one, other) == same


async def test_a_rotation(bench: Bench) -> None:
    """While a secret is rotated each request has both signatures; then the new one alone."""
    async with receiving(answering(200)) as receiver:
        both = forward_settings(receiver, secrets=[SECRET, OTHER_SECRET])
        async with forwarding(bench, both) as running:
            await bench.publish("e1")
            await eventually(lambda: len(receiver.requests) == 1)
            running.want(settings_with(forward_settings(receiver, secrets=[OTHER_SECRET])))
            await eventually(lambda: len(running._running["crm"].forward.settings.secrets) == 1)
            await bench.publish("e2")
            await eventually(lambda: len(receiver.requests) == 2)
    first, second = (request.headers["webhook-signature"].split() for request in receiver.requests)
    assert (len(first), len(second)) == (2, 1)
    assert len(base64.b64decode(second[0].removeprefix("v1,"))) == 32
