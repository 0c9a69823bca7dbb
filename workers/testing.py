"""Runs a handler against sample events, under its timeout and retry policy, with no server and no worker running.

A test of a handler:

    from workers.testing import Dead, run, sample_event

    def test_sync() -> None:
        event = sample_event("visma-net-financial/customer_updated", company_id=None)
        assert run(customers, event) == [Dead("no company")]
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache, partial
from itertools import compress
from random import Random
from typing import Any

from config.errors import RouterError
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.identify import Identified, identify
from router.events.normalise import normalise
from router.events.samples import body, sample
from workers.delivery import AttemptError, Delivery
from workers.handlers import loop
from workers.handlers.handling import call
from workers.handlers.hydrated import call_with_record
from workers.handlers.scope import Scope
from workers.outcomes import Dead, DeferFor, Done, HandlerTimeout, Outcome, RetryIn, Skipped
from workers.record import Record
from workers.retry import decide
from workers.subscription import Subscription

__all__ = [
    "Dead",
    "DeferFor",
    "Done",
    "NotSubscribed",
    "Outcome",
    "RetryIn",
    "Skipped",
    "deliver",
    "run",
    "sample_event",
    "sample_record",
]

_catalogue = cache(partial(Catalogue.load, on_demand=True))


class NotSubscribed(RouterError):
    """A test hands over an event that the subscription's globs leave out: it would never come from a worker."""


def sample_event(stream: str, **overrides: Any) -> Event:
    """Return an event of a stream, `publisher/type`, as its publisher would send it now, with an id of its own.

    `overrides` are fields of the event, checked as such; `raw` stays as it was made. Raises UnknownStream, which
    suggests similar names.
    """
    event = sample_of(_catalogue(), stream)
    return Event.model_validate(event.model_dump() | overrides)


def sample_of(catalogue: Catalogue, stream: str) -> Event:
    """Return an event of a stream of this catalogue, as its publisher would send it now; raises UnknownStream."""
    if stream not in catalogue.streams():
        catalogue.select(stream)
    now = datetime.now(UTC)
    raw = body([sample(catalogue, stream, Random(), now)])  # noqa: S311 - samples are no secrets
    (item,) = identify(catalogue, stream.partition("/")[0], raw, None)
    assert isinstance(item, Identified)
    return normalise(catalogue, item.stream, item.id, item.raw, now)


def sample_record(body: Any = None, *, status: int = 200, etag: str | None = None) -> Record:
    """Return a record as it would have been fetched just now; one with status 404 is `gone`."""
    return Record(status, etag, body, fetched_at=datetime.now(UTC))


async def deliver(
    subscription: Subscription,
    *events: Event,
    attempt: int = 1,
    errors: Sequence[AttemptError] = (),
    deferred_for: float | None = None,
    any_event: bool = False,
    record: Record | None = None,
) -> list[Outcome]:
    """Hand events to a handler; return what would become of each: `Done`, `RetryIn`, `DeferFor`, `Dead` or `Skipped`.

    `attempt` and `errors` are what the handler and the retry policy get; `deferred_for`: how many seconds ago they were
    deferred for the first time, None for never. A batch handler gets batches, and events
    that failed before one by one, as it would from a worker. Raises NotSubscribed for an event that the subscription's
    globs leave out, unless `any_event`. With `hydrate` the handler gets `record` besides, or where that is None what is
    fetched within `workers.erp.open_clients`.
    """
    if not any_event:
        _check(subscription, events)
    size = subscription.batch_size if subscription.handled_by.batch and attempt == 1 else 1
    deferred = int(deferred_for is not None)
    left = subscription.defer_max - (deferred_for or 0.0)
    story = (subscription.name, attempt, tuple(errors), (), deferred)
    passes = [subscription.where is None or subscription.where.passes(event) for event in events]
    deliveries = [Delivery(event, *story) for event in compress(events, passes)]
    threads = ThreadPoolExecutor(max(1, len(events)))
    random = Random(0)  # noqa: S311 - jitter is no secret
    try:
        outcomes: list[Outcome] = []
        for start in range(0, len(deliveries), size):
            results = await _attempt(subscription, deliveries[start : start + size], threads, record)
            outcomes += [decide(subscription.retry, attempt, result, random, deferrable=left) for result in results]
        handled = iter(outcomes)
        return [next(handled) if is_handled else Skipped() for is_handled in passes]
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def run(
    subscription: Subscription,
    *events: Event,
    attempt: int = 1,
    errors: Sequence[AttemptError] = (),
    deferred_for: float | None = None,
    any_event: bool = False,
    record: Record | None = None,
) -> list[Outcome]:
    """Do what `deliver` does, in tests that are not async."""
    options: dict[str, Any] = {"deferred_for": deferred_for, "any_event": any_event, "record": record}
    return loop.run(deliver(subscription, *events, attempt=attempt, errors=errors, **options))


def _check(subscription: Subscription, events: Sequence[Event]) -> None:
    for event in events:
        if not any(fnmatchcase(event.stream, glob) for glob in subscription.events):
            raise NotSubscribed(
                f"subscription {subscription.name!r} never gets {event.stream}: its events are "
                f"{', '.join(subscription.events)}; correct one of the two, or pass any_event=True"
            )


class _Running:
    """The task that runs, as what an attempt belongs to."""

    timed_out = False

    def __init__(self) -> None:
        self._task = asyncio.current_task()

    def charged(self) -> None:
        """End the handler."""
        if self._task is not None:
            self._task.cancel()


async def _attempt(
    subscription: Subscription, deliveries: Sequence[Delivery], threads: ThreadPoolExecutor, record: Record | None
) -> list[BaseException | None]:
    """Make one attempt, in a task of its own: a handler may cancel that, and has failed then."""
    task = asyncio.Task(_call(subscription, deliveries, threads, record))
    try:
        return await task
    except asyncio.CancelledError as cancelled:
        if (own := asyncio.current_task()) is not None and own.cancelling():
            raise
        return [cancelled] * len(deliveries)


async def _call(
    subscription: Subscription, deliveries: Sequence[Delivery], threads: ThreadPoolExecutor, record: Record | None
) -> list[BaseException | None]:
    handler = subscription.handled_by
    scope = Scope(_Running())
    results: list[BaseException | None] = []
    try:
        async with asyncio.timeout(subscription.timeout):
            if handler.wants_record and record is None:
                results = await call_with_record(handler, deliveries, lambda: threads, scope)
            else:
                results = await call(handler, deliveries, threads, scope, record if handler.wants_record else None)
    except TimeoutError:
        results = [HandlerTimeout(f"the handler took longer than {subscription.timeout:g} seconds")] * len(deliveries)
    except asyncio.CancelledError:
        if scope.error is None:
            raise
    finally:
        scope.owner = None
    return results if scope.error is None else [scope.error] * len(deliveries)
