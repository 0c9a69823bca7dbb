"""The subscriptions of `event-router demo`: one that works, one that works at the third attempt, one that is broken.

Each writes down what it handled, one line an event, so that the demo can count for itself.
"""

import os
from pathlib import Path

from workers import Delivery, Event, Retry, Subscription

LEDGER = "DEMO_LEDGER"
"""The environment variable that names the file of handled events."""
MENDED = "DEMO_MENDED"
"""The environment variable that names the file whose presence mends the broken handler."""
FLAKY_FAILURES = 2

_QUICK = Retry(max_attempts=4, first_delay=0.05, max_delay=0.2)

works = Subscription("demo-works", events=["*"], retry=_QUICK)
flaky = Subscription("demo-flaky", events=["*"], retry=_QUICK)
broken = Subscription("demo-broken", events=["*"], retry=_QUICK)


def _note(subscription: Subscription, event: Event) -> None:
    with Path(os.environ[LEDGER]).open("a") as ledger:
        ledger.write(f"{subscription.name} {event.publisher}/{event.type} {event.id}\n")


@works.handler
async def handle(event: Event) -> None:
    """Handle every event at once."""
    _note(works, event)


@flaky.handler
async def stumble(delivery: Delivery) -> None:
    """Fail twice, then handle."""
    if delivery.attempt <= FLAKY_FAILURES:
        raise ConnectionError(f"the accounting system did not answer (attempt {delivery.attempt})")
    _note(flaky, delivery.event)


@broken.handler
def fail(event: Event) -> None:
    """Fail until mended; a plain function, so it runs in a thread."""
    if not Path(os.environ[MENDED]).exists():
        raise LookupError(f"no mapping for {event.type}")
    _note(broken, event)
