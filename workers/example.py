"""An example to copy: three subscriptions, one of each kind of handler.

    event-router up workers/example.py          ingress and these workers on the embedded server
    event-router worker workers/example.py      only the workers, beside a running system

Every `Subscription` in the module is run. Each has its own progress: a failing one holds up no other.
"""

import logging

from workers import DeadLetter, Delivery, Event, Retry, RetryLater, Subscription

__all__ = ["customers", "invoices", "vouchers"]

log = logging.getLogger(__name__)


# 1. An async handler of one event. It may run twice for one event (its worker was killed after the work), so what it
#    does should be safe to repeat; `event.id` is the same each time.
customers = Subscription(
    "example-customers",  # names the consumer group: workers of one name share the events, another name gets all again
    events=["visma-net-financial/customer_*"],  # globs over publisher/type; `event-router catalogue` lists them
    key="resource",  # one at a time and in order for each customer, over all workers; other customers beside it
    retry=Retry(max_attempts=8, first_delay=2, max_delay=900),  # seconds, doubling, with jitter
    concurrency=32,  # at once, in one worker process
    timeout=30,  # seconds for one attempt
)


@customers.handler
async def sync_customer(event: Event) -> None:
    """Read the customer again and store it: the event says that it changed, the ERP says what it is now."""
    if event.company_id is None:
        raise DeadLetter("the event names no company")  # no retry can mend this: give it up now
    if event.action == "deleted":
        log.info("delete %s of company %s", event.resource_id, event.company_id)
        return
    # event.resource_path (`v1/customer/55555`) is relative: join it to the base URL that you trust.
    log.info("read %s of company %s", event.resource_path, event.company_id)


# 2. A handler of a Delivery, which tells the attempt and the earlier errors too. A plain function runs in a thread, so
#    it may use libraries that block.
invoices = Subscription(
    "example-invoices",
    events=["visma-net-financial/ar_invoice_*"],
    retry=Retry(max_attempts=5, never=(KeyError, ValueError)),  # a bug is no better at the second attempt
    concurrency=4,
)


@invoices.handler
def print_invoice(delivery: Delivery) -> None:
    """Wait until the invoice is no longer a draft."""
    event = delivery.event
    if event.document_status == "Hold":
        raise RetryLater(60)  # seconds; any other exception is retried when the policy says
    log.info("invoice %s, attempt %d after %d errors", event.resource_id, delivery.attempt, len(delivery.errors))


# 3. A handler of a batch: up to `batch_size` events that wait anyway, or come within `batch_wait` seconds.
vouchers = Subscription(
    "example-vouchers",
    events=["visma-net-journal-transaction/*"],
    batch_size=100,
    batch_wait=0.5,
    concurrency=1,
)


@vouchers.handler
async def book_vouchers(events: list[Event]) -> list[Exception | None]:
    """Return one result for each event: None is done, an exception is that event's failure.

    Returning nothing means that all are done, raising that all failed.
    """
    return [None if event.resource_id else DeadLetter("the event names no voucher") for event in events]
