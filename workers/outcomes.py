"""What may become of an attempt. Raising `RetryLater` or `DeadLetter` in a handler is the same as returning one."""

from dataclasses import dataclass
from datetime import timedelta

from config.errors import RouterError

__all__ = [
    "Dead",
    "DeadLetter",
    "Done",
    "HandlerTimeout",
    "Outcome",
    "RetryIn",
    "RetryLater",
    "WorkerLost",
    "WorkerMustEnd",
]


class RetryLater(Exception):
    """Try this event again in `delay` (seconds, or a timedelta). It counts as an attempt."""

    def __init__(self, delay: float | timedelta, reason: str = "the handler asked for a later retry") -> None:
        super().__init__(reason)
        self.delay = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        if not 0 <= self.delay < float("inf"):
            raise ValueError(f"RetryLater takes a delay of 0 seconds or more, not {delay!r}")


class DeadLetter(Exception):
    """Give this event up now: it goes to the dead letters of the subscription, with this reason."""

    def __init__(self, reason: str = "the handler gave it up") -> None:
        super().__init__(reason)


class WorkerMustEnd(RouterError):
    """What a handler of ours raises where no event can be handled any more: the worker gives all back and ends so.

    error: what the worker ends in.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class HandlerTimeout(RouterError):
    """The handler took longer than the subscription's `timeout`."""


class WorkerLost(RouterError):
    """The worker died, or lost its lease, while it had the event in its hands."""


@dataclass(frozen=True, slots=True)
class Done:
    """The handler finished."""


@dataclass(frozen=True, slots=True)
class RetryIn:
    """The event is to be tried again in `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Dead:
    """The event is given up, for this reason."""

    reason: str


Outcome = Done | RetryIn | Dead
