"""From stream to handler: what a user imports to write a worker."""

from router.events.event import Event
from workers.coalesce import Coalesce
from workers.delivery import AttemptError, Delivery, Merged
from workers.exactly_once.once import once
from workers.outcomes import DeadLetter, Defer, HandlerTimeout, RetryLater, WorkerLost
from workers.record import Background, Record
from workers.retry import Retry
from workers.subscription import Subscription

__all__ = [
    "AttemptError",
    "Background",
    "Coalesce",
    "DeadLetter",
    "Defer",
    "Delivery",
    "Event",
    "HandlerTimeout",
    "Merged",
    "Record",
    "Retry",
    "RetryLater",
    "Subscription",
    "WorkerLost",
    "once",
]
