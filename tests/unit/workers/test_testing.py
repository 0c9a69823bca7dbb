"""Running handlers with nothing running, and the workers that ship ready to use."""

import asyncio
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from config.errors import ConfigError, RouterError
from router.events.catalogue import Catalogue, UnknownStream
from workers import (
    AttemptError,
    DeadLetter,
    Defer,
    Delivery,
    Event,
    Retry,
    RetryLater,
    Subscription,
    example,
    log_events,
)
from workers.modules.loading import load_subscriptions
from workers.testing import Dead, DeferFor, Done, NotSubscribed, Outcome, RetryIn, Skipped, deliver, run, sample_event

CUSTOMERS = "visma-net-financial/customer_changed"


def _subscription(**options: object) -> Subscription:
    return Subscription("under-test", events=["*"], **options)  # type: ignore[arg-type]


def test_sample_of_every_stream(catalogue: Catalogue) -> None:
    """There is a sample of every stream, of its type and with an id of its own."""
    events = [sample_event(stream) for stream in catalogue.streams()]
    assert [event.stream for event in events] == list(catalogue.streams())
    assert len({event.id for event in events}) == len(events)


def test_sample_overrides() -> None:
    """Any field can be given, and is checked as a field."""
    event = sample_event(CUSTOMERS, id="e1", company_id=None, occurred_at=datetime(2025, 1, 1, tzinfo=UTC))
    assert (event.id, event.company_id, event.occurred_at) == ("e1", None, datetime(2025, 1, 1, tzinfo=UTC))
    with pytest.raises(ValidationError, match="colour"):
        sample_event(CUSTOMERS, colour="red")
    with pytest.raises(UnknownStream, match=f"did you mean {CUSTOMERS}"):
        sample_event("visma-net-financial/custome_changed")
    with pytest.raises(UnknownStream, match="no such stream"):
        sample_event("visma-net-financial/customer_*")


def test_what_was_deferred_before() -> None:
    """A test says for how long an event has been deferred: the handler sees it, and `defer_max` ends it."""
    subscription = _subscription(defer_max=100)
    seen: list[int] = []

    @subscription.handler
    async def handle(delivery: Delivery) -> None:
        seen.append(delivery.deferred)
        raise Defer(60, "full")

    event = sample_event(CUSTOMERS)
    assert run(subscription, event) == [DeferFor(60, "full")]
    assert run(subscription, event, deferred_for=70) == [DeferFor(30, "full")]
    assert run(subscription, event, deferred_for=100) == [Dead("deferred for longer than defer_max allows: full")]
    assert seen == [0, 1, 1]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Done()),
        (RetryLater(60), RetryIn(60.0)),
        (DeadLetter("no company"), Dead("no company")),
        (Defer(60, "full"), DeferFor(60.0, "full")),
        (KeyError("x"), Dead("KeyError is never retried")),
    ],
)
def test_outcomes(error: Exception | None, outcome: Outcome) -> None:
    """The outcome is what the retry policy makes of what the handler does."""
    subscription = _subscription(retry=Retry(never=(KeyError,)))

    @subscription.handler
    async def handle(event: Event) -> None:
        if error is not None:
            raise error

    assert run(subscription, sample_event(CUSTOMERS)) == [outcome]


async def test_attempts() -> None:
    """The attempt and the earlier errors are told to the handler and to the policy."""
    seen: list[Delivery] = []
    subscription = _subscription(retry=Retry(max_attempts=3))

    @subscription.handler
    async def handle(delivery: Delivery) -> None:
        seen.append(delivery)
        raise ValueError("always")

    errors = (AttemptError(datetime.now(UTC), 1, "ValueError", "always"),)
    (second,) = await deliver(subscription, sample_event(CUSTOMERS), attempt=2, errors=errors)
    assert isinstance(second, RetryIn)
    assert await deliver(subscription, sample_event(CUSTOMERS), attempt=3) == [Dead("failed 3 of 3 attempts")]
    assert [(delivery.attempt, delivery.errors) for delivery in seen] == [(2, errors), (3, ())]


async def test_timeout() -> None:
    """A handler that takes too long fails, a plain function too."""
    asynchronous, threaded = _subscription(timeout=0.01), _subscription(timeout=0.01)
    released = threading.Event()

    @asynchronous.handler
    async def wait(event: Event) -> None:
        await __import__("asyncio").Event().wait()

    @threaded.handler
    def block(event: Event) -> None:
        released.wait(60)

    started = time.monotonic()
    for subscription in (asynchronous, threaded):
        (outcome,) = await deliver(subscription, sample_event(CUSTOMERS))
        assert isinstance(outcome, RetryIn)
    released.set()
    assert time.monotonic() - started < 30


async def test_own_timeout_error() -> None:
    """A TimeoutError of the handler's own is its failure, not ours."""
    subscription = _subscription(retry=Retry(never=(TimeoutError,)))

    @subscription.handler
    async def handle(event: Event) -> None:
        raise TimeoutError("the ERP")

    assert await deliver(subscription, sample_event(CUSTOMERS)) == [Dead("TimeoutError is never retried")]


async def test_batches() -> None:
    """A batch handler gets batches of its size at the first attempt, and single events later."""
    sizes: list[int] = []
    subscription = _subscription(batch_size=2)

    @subscription.handler
    async def handle(events: list[Event]) -> list[Exception | None]:
        sizes.append(len(events))
        return [DeadLetter("odd") if event.id == "e1" else None for event in events]

    events = [sample_event(CUSTOMERS, id=f"e{number}") for number in range(3)]
    assert await deliver(subscription, *events) == [Done(), Dead("odd"), Done()]
    assert await deliver(subscription, *events, attempt=2) == [Done(), Dead("odd"), Done()]
    assert sizes == [2, 1, 1, 1, 1]
    assert await deliver(subscription) == []


def test_without_handler() -> None:
    """A subscription without a handler is refused, with what to do."""
    with pytest.raises(ConfigError, match="decorate a function"):
        run(_subscription(), sample_event(CUSTOMERS))


def test_event_that_the_globs_leave_out() -> None:
    """An event that would never come is refused, unless the test says that any will do."""
    subscription = Subscription("invoices", events=["*/ar_invoice_*", "*/ap_invoice_*"])

    @subscription.handler
    async def handle(event: Event) -> None: ...

    with pytest.raises(NotSubscribed, match=rf"'invoices' never gets {CUSTOMERS}: .*ap_invoice_\*.*any_event=True"):
        run(subscription, sample_event(CUSTOMERS))
    assert run(subscription, sample_event(CUSTOMERS), any_event=True) == [Done()]
    assert run(subscription, sample_event("visma-net-financial/ar_invoice_changed")) == [Done()]


def test_log_events(capsys: pytest.CaptureFixture[str], catalogue: Catalogue) -> None:
    """`log_events` takes every event and prints one line for each."""
    (subscription,) = load_subscriptions(["workers.log_events"])
    assert subscription.name == "log-events"
    assert catalogue.select(*subscription.events) == catalogue.streams()
    occurred = datetime(2025, 10, 30, 15, 5, 57, tzinfo=UTC)
    event = sample_event(
        CUSTOMERS, id="e1", occurred_at=occurred, resource="customer/5", company_id="7", action="updated"
    )
    assert run(subscription, event) == [Done()]
    line = f"2025-10-30T15:05:57.000Z {CUSTOMERS} customer/5 company=7 updated e1\n"
    assert capsys.readouterr().out == line


def test_log_events_of_hostile_texts() -> None:
    """Whatever the sender wrote, an event is one line without control characters; what is missing is a dash."""
    event = sample_event(CUSTOMERS, id="a\nb", action="\x1b[31m", resource=None, company_id=None, occurred_at=None)
    line = log_events.line(event)
    assert line.isprintable()
    assert line.endswith(f"{CUSTOMERS} - - \N{REPLACEMENT CHARACTER}[31m a\N{REPLACEMENT CHARACTER}b")


def test_example(catalogue: Catalogue) -> None:
    """The example that users copy runs, and does what its comments say."""
    subscriptions = load_subscriptions(["workers.example"])
    assert [subscription.name for subscription in subscriptions] == [
        "example-customers",
        "example-invoices",
        "example-vouchers",
    ]
    for subscription in subscriptions:
        assert catalogue.select(*subscription.events)
    assert run(example.customers, sample_event(CUSTOMERS)) == [Done()]
    assert run(example.customers, sample_event(CUSTOMERS, action="deleted")) == [Done()]
    assert run(example.customers, sample_event(CUSTOMERS, company_id=None)) == [Dead("the event names no company")]
    invoice = "visma-net-financial/ar_invoice_status_changed"
    assert run(example.invoices, sample_event(invoice, document_status="Hold")) == [RetryIn(60.0)]
    assert run(example.invoices, sample_event(invoice, document_status="Open")) == [Done()]
    voucher = "visma-net-journal-transaction/voucher_received"
    vouchers = (sample_event(voucher), sample_event(voucher, resource_id=None))
    assert run(example.vouchers, *vouchers) == [Done(), Dead("the event names no voucher")]


def test_what_a_handler_returns_or_leaves_counts_as_in_a_worker() -> None:
    """A return that is no outcome, a group, an exit in a task or a callback, a cancellation of itself: all are seen."""

    async def leave() -> None:
        sys.exit(3)

    async def group() -> None:
        raise ExceptionGroup("several", [ValueError("x"), DeadLetter("no company")])

    async def later() -> None:
        asyncio.get_running_loop().call_later(0.001, sys.exit, 3)
        await asyncio.sleep(30)

    async def itself() -> None:
        task = asyncio.current_task()
        assert task
        task.cancel()
        await asyncio.sleep(30)

    async def value() -> Any:
        return "done"

    for work, reason in [
        (group, "no company"),
        (lambda: asyncio.gather(leave(), asyncio.sleep(1)), "SystemExit is never retried"),
        (later, "SystemExit is never retried"),
        (itself, "CancelledError is never retried"),
        (value, "BadReturn is never retried"),
    ]:
        subscription = _subscription(retry=Retry(never=(SystemExit, asyncio.CancelledError, RouterError)))

        @subscription.handler
        async def handle(event: Event, work: Any = work) -> Any:
            return await work()

        assert run(subscription, sample_event(CUSTOMERS)) == [Dead(reason)]


def test_a_filter_is_honoured() -> None:
    """An event that the filter skips is `Skipped`, which is a way to be done; the handler does not see it."""
    subscription = _subscription(where={"company_id": [51]}, batch_size=2)
    batches: list[list[str | None]] = []

    @subscription.handler
    async def take(events: list[Event]) -> None:
        batches.append([event.id for event in events])

    companies = ["51", "52", "51", None, "51"]
    events = [sample_event(CUSTOMERS, id=f"e{at}", company_id=company) for at, company in enumerate(companies)]
    assert run(subscription, *events) == [Done(), Skipped(), Done(), Skipped(), Done()]
    assert batches == [["e0", "e2"], ["e4"]]
    assert isinstance(Skipped(), Done)
    assert run(subscription, events[1]) == [Skipped()]
