"""Ours: KEYED=1 with a key, else without."""

import os
from datetime import timedelta

import ordered

from workers import Event, Retry, RetryLater, Subscription

subscription = Subscription(
    "ordered",
    events=["visma-net-financial/customer_changed"],
    key="resource" if os.environ["KEYED"] == "1" else None,
    retry=Retry(max_attempts=5),
    concurrency=10,
)


@subscription.handler
async def handle(event: Event) -> None:
    """Handle it as the others do."""
    try:
        await ordered.handle(str(event.resource_id), int(event.id.rpartition("-")[2]))
    except ValueError:
        raise RetryLater(timedelta(seconds=ordered.RETRY_AFTER)) from None
