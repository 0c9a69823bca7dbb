"""From stream to handler: what a user imports to write a worker."""

from router.events.event import Event
from workers.delivery import AttemptError, Delivery
from workers.outcomes import DeadLetter, HandlerTimeout, RetryLater, WorkerLost
from workers.retry import Retry
from workers.subscription import Subscription

__all__ = [
    "AttemptError",
    "DeadLetter",
    "Delivery",
    "Event",
    "HandlerTimeout",
    "Retry",
    "RetryLater",
    "Subscription",
    "WorkerLost",
]
