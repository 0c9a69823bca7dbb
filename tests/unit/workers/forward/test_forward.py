"""Forwards at work: what a receiver gets, and what becomes of an event by its answer."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.forwarding import OTHER_SECRET, SECRET, answering, forward_settings, forwarding
from support.keyed_bench import STREAM, Bench
from support.receiver import OK, Answering, Receiver, Request, receiving
from support.waiting import eventually

from router.cloudevents import from_cloudevent
from workers.delivery import read_history
from workers.incidents import Incidents
from workers.operations import audit
from workers.operations.pauses import resume
from workers.outgoing import signed
from workers.state.forwards import last_exchanges
from workers.state.pauses import paused


@contextlib.asynccontextmanager
async def forwarded(bench: Bench, answer: bytes | Answering, **options: Any) -> AsyncIterator[Receiver]:
    """Yield a receiver that answers so, with a forward to it that runs."""
    async with receiving(answer) as receiver, forwarding(bench, forward_settings(receiver, **options)):
        yield receiver


HUSH = "hush-hush-hush"


def count(bench: Bench, outcome: str, name: str = "crm") -> float:
    """Return how many attempts ended so."""
    labels = {"subscription": name, "outcome": outcome}
    return bench.registry.get_sample_value("event_router_outcomes_total", labels) or 0.0


def answers(bench: Bench, answer: str) -> float | None:
    """Return how many exchanges ended so."""
    labels = {"subscription": "crm", "answer": answer}
    return bench.registry.get_sample_value("event_router_forward_answers_total", labels)


def resigned(request: Request, secret: str) -> str:
    """Return the signature that a request should have."""
    id_, moment = request.headers["webhook-id"], int(request.headers["webhook-timestamp"])
    return signed([secret], id_, moment, request.body)["webhook-signature"]


async def dead(bench: Bench) -> dict[str, Any]:
    """Return the fields of the one dead letter."""
    [(_, fields)] = await bench.client.xrange(bench.keys.dead(STREAM, "crm"))
    return {name.decode(): value for name, value in fields.items()}


async def test_an_event_is_posted_and_done(bench: Bench) -> None:
    """The receiver gets the event as CloudEvents, signed with each secret, and the headers of the settings."""
    async with receiving() as receiver:
        extra = {"secrets": [SECRET, OTHER_SECRET], "headers": {"Authorization": f"Bearer {HUSH}"}}
        async with forwarding(bench, forward_settings(receiver, **extra)):
            await bench.publish("e1@7")
            await eventually(lambda: count(bench, "done") == 1)
    [request] = receiver.requests
    assert request.line == "POST /hook HTTP/1.1"
    assert from_cloudevent(request.body).id == "e1"
    assert request.headers["webhook-id"] == f"{STREAM}/e1"
    assert request.headers["webhook-signature"] == f"{resigned(request, SECRET)} {resigned(request, OTHER_SECRET)}"
    assert request.headers["authorization"] == f"Bearer {HUSH}"
    assert answers(bench, "2xx") == 1
    assert answers(bench, "5xx") == 0


async def test_raw(bench: Bench) -> None:
    """`format = "raw"` posts the publisher's bytes."""
    async with receiving() as receiver, forwarding(bench, forward_settings(receiver, format="raw")):
        await bench.publish("e1")
        await eventually(lambda: count(bench, "done") == 1)
    assert json.loads(receiver.requests[0].body)["notificationId"] == "e1"


async def test_a_failure_is_tried_again_under_the_same_id(bench: Bench) -> None:
    """500 twice, then 200: three attempts, each with the id of the event and its own number."""
    async with forwarded(bench, answering(500, 500, 200), breaker=False) as receiver:
        await bench.publish("e1")
        await eventually(lambda: count(bench, "done") == 1)
    assert [request.event_id for request in receiver.requests] == ["e1"] * 3
    assert [request.headers["event-router-attempt"] for request in receiver.requests] == ["1", "2", "3"]
    assert count(bench, "retried") == 2


@pytest.mark.parametrize("status", [302, 400, 404, 500])
async def test_a_dead_letter_says_what_was_answered(bench: Bench, status: int) -> None:
    """The history of a dead letter has status and answer of each attempt, and nothing of secrets or signatures."""

    async def answer(request: Request) -> bytes:
        told = f"no: {request.headers['webhook-signature']} {request.headers['authorization']} {SECRET}"
        return await answering(status, headers="Location: http://127.0.0.1/\r\n", body=told)(request)

    async with receiving(answer) as receiver:
        extra = {"headers": {"Authorization": f"Bearer {HUSH}"}, "breaker": False}
        async with forwarding(bench, forward_settings(receiver, **extra)):
            await bench.publish("e1")
            await eventually(lambda: count(bench, "dead") == 1)
    letter = await dead(bench)
    attempts = read_history(letter["history"])
    assert len(attempts) == len(receiver.requests) == 3
    assert all(attempt.error == "BadAnswer" for attempt in attempts)
    assert all(f"answered {status}" in attempt.message and "\nno: " in attempt.message for attempt in attempts)
    assert all(attempt.traceback == "" for attempt in attempts)
    signature = receiver.requests[0].headers["webhook-signature"].partition(",")[2]
    for secret in (HUSH, SECRET, signature):
        assert secret.encode() not in letter["history"]


async def test_the_beginning_of_an_answer_is_kept(bench: Bench) -> None:
    """Of a long answer the first kilobyte stands in the history."""
    async with forwarded(bench, answering(400, body="x" * 5000), retry={"max_attempts": 1}):
        await bench.publish("e1")
        await eventually(lambda: count(bench, "dead") == 1)
    [attempt] = read_history((await dead(bench))["history"])
    assert attempt.message.partition("\n")[2] == "x" * 1024


async def test_no_connection_is_a_failure(bench: Bench) -> None:
    """What cannot be reached, or is not allowed, is tried again by the policy and says why."""
    async with receiving() as receiver:
        settings = forward_settings(receiver, breaker=False)
    async with forwarding(bench, settings):
        await bench.publish("e1")
        await eventually(lambda: count(bench, "dead") == 1)
    attempts = read_history((await dead(bench))["history"])
    assert [attempt.error for attempt in attempts] == ["Unreachable"] * 3
    assert all("no connection could be made" in attempt.message for attempt in attempts)
    assert all(attempt.traceback == "" for attempt in attempts)
    assert answers(bench, "unreachable") == 3


async def test_an_address_that_is_refused(bench: Bench) -> None:
    """A name that leads to an address that must not be reached is a failed attempt, and contacts nothing."""
    async with receiving() as receiver:
        url = f"https://localhost:{receiver.port}/"
        settings = forward_settings(receiver, url=url, allow_private=[], retry={"max_attempts": 1})
        async with forwarding(bench, settings):
            await bench.publish("e1")
            await eventually(lambda: count(bench, "dead") == 1)
        assert receiver.connections == 0
    [attempt] = read_history((await dead(bench))["history"])
    assert attempt.error == "AddressRefused"
    assert "allow_private" in attempt.message
    assert answers(bench, "refused") == 1


async def test_a_receiver_that_hangs(bench: Bench) -> None:
    """What is not answered in time is a failed attempt, and says so."""
    over = asyncio.Event()

    async def hang(request: Request) -> bytes:
        await over.wait()
        return OK

    async with forwarded(bench, hang, timeout=0.1, retry={"max_attempts": 1}):
        await bench.publish("e1")
        await eventually(lambda: count(bench, "dead") == 1)
    [attempt] = read_history((await dead(bench))["history"])
    assert (attempt.error, answers(bench, "timeout")) == ("TimedOut", 1)


@pytest.mark.parametrize(("status", "seconds"), [(429, 1), (503, 1), pytest.param(429, 3, marks=pytest.mark.long)])
async def test_a_receiver_that_puts_off(bench: Bench, status: int, seconds: int) -> None:
    """429 and 503 with Retry-After use up no attempt, and what comes meanwhile is not sent before that time.

    It waits in its lane where that is a moment, else in the store.
    """
    times = list[float]()
    answers_so = answering(status, 200, headers=f"Retry-After: {seconds}\r\n")

    async def answer(request: Request) -> bytes:
        times.append(time.monotonic())
        return await answers_so(request)

    async with forwarded(bench, answer, retry={"max_attempts": 1}, concurrency=1) as receiver:
        await bench.publish("e1")
        await eventually(lambda: count(bench, "deferred") == 1)
        await bench.publish("e2")
        await eventually(lambda: count(bench, "done") == 2)
    assert [request.headers["event-router-attempt"] for request in receiver.requests] == ["1"] * 3
    assert all(later - times[0] >= seconds for later in times[1:])
    assert count(bench, "deferred") in ((1,) if seconds < 2 else (1, 2))  # a machine may take a second to publish
    assert count(bench, "dead") == 0


@pytest.mark.parametrize(
    ("status", "limit", "is_seen"),
    [
        (503, {}, True),
        (429, {}, True),
        (429, {"rate": 1000}, True),
        (429, {"rate": 1000, "per": "company"}, False),
        (503, {"rate": 1000, "per": "company"}, True),
    ],
)
async def test_what_is_put_off_is_seen(bench: Bench, status: int, limit: dict[str, Any], *, is_seen: bool) -> None:
    """Operators see that all is put off, and until when; not so where a limit holds back one company alone.

    The next exchange of another process, or the next start, that finds the receiver back ends that.
    """

    async def noted(answer: str) -> Any:
        found = (await last_exchanges(bench.store)).get("crm")
        return found if found is not None and found.answer == answer else None

    async def is_noted(answer: str, *, is_deferred: bool) -> bool:
        found = await noted(answer)
        return found is not None and (found.deferral is not None) == is_deferred

    before = time.time()
    async with receiving(answering(status, headers="Retry-After: 600\r\n")) as receiver:
        settings = forward_settings(receiver, limit=limit)
        async with forwarding(bench, settings) as running:
            await bench.publish("e1")
            await eventually(lambda: count(bench, "deferred") == 1)
            assert (running._notebook._forwards["crm"].deferral is not None) == is_seen
            await eventually(lambda: is_noted(str(status), is_deferred=is_seen))
            deferral = (await noted(str(status))).deferral
        if deferral is not None:
            assert before - 1 <= deferral.since.timestamp() <= time.time()
            assert deferral.until.timestamp() - deferral.since.timestamp() == pytest.approx(600)
        receiver.answer = OK
        plain = settings.model_copy(update={"limit": None})
        async with forwarding(bench, plain, registry=CollectorRegistry()):
            assert (await noted(str(status))).deferral == deferral
            await bench.publish("e2")
            await eventually(lambda: is_noted("200", is_deferred=False))


async def test_a_receiver_that_puts_off_for_ever(bench: Bench) -> None:
    """Deferrals are bounded by `defer_max`; then the event is dead, and says by whom it was put off."""
    async with forwarded(bench, answering(429, headers="Retry-After: 1\r\n"), defer_max=0.2):
        await bench.publish("e1")
        await eventually(lambda: count(bench, "dead") == 1)
    assert b"deferred for longer than defer_max allows" in (await dead(bench))["reason"]


async def test_gone(bench: Bench) -> None:
    """410 pauses the subscription, once, and says so; the event stays, and is delivered once it is resumed."""
    async with forwarded(bench, answering(410), retry={"max_attempts": 1}) as receiver:
        await bench.publish(*(f"e{number}" for number in range(5)))
        await eventually(lambda: paused(bench.store, ["crm"]))
        [pause] = (await paused(bench.store, ["crm"])).values()
        assert pause.by == "event-router forward"
        assert "410 Gone" in pause.reason
        seen = len(receiver.requests)
        lines = [line async for line in audit.lines(bench.store)]
        assert [(line.verb, line.subject) for line in lines] == [("subscriptions pause", "crm")]
        [incident] = await Incidents(bench.store).listed()
        assert (incident.kind, incident.subject) == ("gone", "crm")
        assert incident.command == "event-router subscriptions resume crm"
        await bench.publish("late")
        receiver.answer = OK
        assert len(receiver.requests) == seen
        await resume(bench.store, "crm", by="me")
        await eventually(lambda: count(bench, "done") == 6)
        await eventually(lambda: _is_over(bench))
    assert count(bench, "dead") == count(bench, "retried") == 0


async def _is_over(bench: Bench) -> bool:
    return not await Incidents(bench.store).listed()


async def test_gone_again(bench: Bench) -> None:
    """A receiver that is still gone when it is resumed pauses the subscription again."""
    async with receiving(answering(410)) as receiver, forwarding(bench, forward_settings(receiver)):
        await bench.publish("e1")
        await eventually(lambda: paused(bench.store, ["crm"]))
        first = (await paused(bench.store, ["crm"]))["crm"].entry_id
        await resume(bench.store, "crm", by="me")
        await eventually(lambda: _paused_since(bench, first))


async def _paused_since(bench: Bench, entry_id: str) -> bool:
    found = (await paused(bench.store, ["crm"])).get("crm")
    return found is not None and found.entry_id != entry_id


async def test_a_breaker_leaves_a_receiver_alone(bench: Bench) -> None:
    """While the receiver fails, one event in each interval is sent, and none is used up; then all are delivered."""
    times = list[float]()

    async def fail(request: Request) -> bytes:
        times.append(time.monotonic())
        return await answering(500)(request)

    terms = {"failures": 2, "interval": 0.2}
    async with forwarded(bench, fail, breaker=terms, concurrency=1) as receiver:
        await bench.publish(*(f"e{number}" for number in range(10)))
        await eventually(lambda: count(bench, "deferred") >= 10)
        receiver.answer = OK
        await eventually(lambda: count(bench, "done") == 10)
    probes = times[2:]
    assert len(probes) <= (times[-1] - times[1]) / 0.2 + 1
    assert count(bench, "dead") == 0
    assert count(bench, "retried") <= 1


async def test_a_refusal_does_not_open_the_breaker(bench: Bench) -> None:
    """4xx says that the receiver is up: the next event is sent."""
    async with receiving(answering(400, 400, 400, 200)) as receiver:
        settings = forward_settings(receiver, breaker={"failures": 1}, concurrency=1, retry={"max_attempts": 1})
        async with forwarding(bench, settings):
            await bench.publish(*(f"e{number}" for number in range(5)))
            await eventually(lambda: count(bench, "done") == 2)
    assert count(bench, "dead") == 3
    assert count(bench, "deferred") == 0


async def test_a_limit(bench: Bench) -> None:
    """No more are sent in a window than the limit allows; the others wait, and are no attempts."""
    async with receiving() as receiver:
        settings = forward_settings(receiver, limit={"rate": 2, "window": 60}, retry={"max_attempts": 1})
        async with forwarding(bench, settings):
            await bench.publish(*(f"e{number}" for number in range(5)))
            await eventually(lambda: count(bench, "done") + count(bench, "deferred") >= 5)
            assert len(receiver.requests) == 2


async def test_a_limit_that_is_learnt(bench: Bench) -> None:
    """The headers of an answer say how many more may be sent; what is over that waits until the window ends."""
    headers = "X-RateLimit-Limit: 2\r\nX-RateLimit-Remaining: 1\r\nX-RateLimit-Reset: 60\r\n"
    learnt = {"limit": {"headers": "x-ratelimit"}, "retry": {"max_attempts": 1}, "concurrency": 1}
    async with forwarded(bench, answering(200, headers=headers), **learnt) as receiver:
        await bench.publish("e1")
        await eventually(lambda: count(bench, "done") == 1)
        await bench.publish("e2", "e3")
        await eventually(lambda: count(bench, "done") == 2 and count(bench, "deferred") == 1)
        assert len(receiver.requests) == 2


async def test_a_filter(bench: Bench) -> None:
    """What `where` leaves out is done and not sent."""
    async with forwarded(bench, OK, where={"company_id": ["51", "52"]}) as receiver:
        await bench.publish("e1", company="51")
        await bench.publish("e2", company="7")
        await bench.publish("e3", company="52")
        await eventually(lambda: len(receiver.requests) == 2)
    assert {request.event_id for request in receiver.requests} == {"e1", "e3"}


async def test_merged(bench: Bench) -> None:
    """A burst of one record is one request, which says what it stands for."""
    async with receiving() as receiver:
        merging = {"key": "resource", "coalesce": {"quiet": 0.2, "within": 5}}
        async with forwarding(bench, forward_settings(receiver, **merging)):
            await bench.publish("e1@7", "e2@7", "e3@7")
            await eventually(lambda: count(bench, "done") >= 1)
    [request] = receiver.requests
    assert request.event_id == "e3"
    assert request.headers["event-router-merged"] == "2"
    assert [each["id"] for each in json.loads(json.loads(request.body)["merged"])] == ["e1", "e2"]


async def test_order(bench: Bench) -> None:
    """With a key the events of a record are sent one at a time and in order, also those that fail first."""
    seen = Counter[str]()

    async def answer(request: Request) -> bytes:
        seen[request.event_id] += 1
        fails = seen[request.event_id] == 1
        return OK.replace(b"200 OK", b"500 No") if fails else OK

    async with forwarded(bench, answer, key="resource", breaker=False) as receiver:
        await bench.publish(*(f"e{number}@7" for number in range(4)))
        await eventually(lambda: count(bench, "done") == 4)
    assert [request.event_id for request in receiver.requests] == [
        id_ for number in range(4) for id_ in [f"e{number}"] * 2
    ]


async def test_the_last_exchange_is_written_down(bench: Bench) -> None:
    """Operators see where a forward goes and how its last exchange ended; a start leaves that as it was."""

    async def answered(status: str) -> bool:
        last = (await last_exchanges(bench.store)).get("crm")
        return last is not None and last.answer == status and last.at is not None

    async with receiving(answering(400)) as receiver:
        settings = forward_settings(receiver, retry={"max_attempts": 1})
        async with forwarding(bench, settings):
            await bench.publish("e1")
            await eventually(lambda: answered("400"))
        again = settings.model_copy(update={"format": "raw"})
        async with forwarding(bench, again, registry=CollectorRegistry()):
            await eventually(lambda: _form(bench, "raw"))
        assert await answered("400")
    assert (await last_exchanges(bench.store))["crm"].host == f"127.0.0.1:{receiver.port}"


async def _form(bench: Bench, form: str) -> bool:
    return (await last_exchanges(bench.store))["crm"].form == form


async def test_a_slow_receiver_delays_no_other(bench: Bench) -> None:
    """While one receiver holds all events that it may have at once, another gets all of its own."""
    over = asyncio.Event()

    async def hang(request: Request) -> bytes:
        await over.wait()
        return OK

    async with receiving(hang) as slow, receiving() as fast:
        both = (forward_settings(slow, "slow", concurrency=4), forward_settings(fast, "fast", concurrency=4))
        async with forwarding(bench, *both):
            await bench.publish(*(f"e{number}" for number in range(100)))
            await eventually(lambda: count(bench, "done", "fast") == 100)
            assert count(bench, "done", "slow") == 0
            over.set()
            await eventually(lambda: count(bench, "done", "slow") == 100)
