"""What may become of an attempt. Raising `Defer`, `RetryLater` or `DeadLetter` is the same as returning one."""

from dataclasses import dataclass
from datetime import timedelta

from config.errors import RouterError

__all__ = [
    "AlreadyDone",
    "BreakerOpen",
    "Dead",
    "DeadLetter",
    "Defer",
    "DeferFor",
    "Done",
    "Echoed",
    "HandlerTimeout",
    "Outcome",
    "RetryIn",
    "RetryLater",
    "Skipped",
    "WorkerLost",
    "WorkerMustEnd",
]


class RetryLater(Exception):
    """Try this event again in `delay` (seconds, or a timedelta). It counts as an attempt."""

    def __init__(self, delay: float | timedelta, reason: str = "the handler asked for a later retry") -> None:
        super().__init__(reason)
        self.delay = _seconds(delay, "RetryLater")


class Defer(Exception):
    """Hand this event over again in `delay` (seconds, or a timedelta; 0.1 seconds at least). It counts as no attempt.

    For what is no failure of the event: a quota that is used up, a target that is closed. An event is deferred for
    `defer_max` of its subscription at most, counted from the first time.
    """

    def __init__(self, delay: float | timedelta, reason: str = "the handler deferred it") -> None:
        super().__init__(reason)
        self.delay = _seconds(delay, "Defer")


class BreakerOpen(Defer):
    """What the handler calls is down: see `workers.breakers`. The event waits until it is back, however long that is.

    `defer_max` does not bound it, and the time spent so does not count there.
    """


def _seconds(delay: float | timedelta, name: str) -> float:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{name} takes a delay of 0 seconds or more, not {delay!r}")
    return seconds


class DeadLetter(Exception):
    """Give this event up now: it goes to the dead letters of the subscription, with this reason."""

    def __init__(self, reason: str = "the handler gave it up") -> None:
        super().__init__(reason)


class AlreadyDone(BaseException):
    """Ends a handler whose effect was made at an earlier delivery: see `workers.exactly_once`. The event is done.

    No Exception: a handler that takes every exception for a failure must not take this for one.
    """

    def __init__(self, stream: str, event_id: str, generation: str) -> None:
        super().__init__(f"{event_id} was done already")
        self.event = (stream, event_id, generation)


class Echoed(AlreadyDone):
    """Ends an attempt before its handler: the record holds nothing new but writes of ours. The event is done."""


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
class Skipped(Done):
    """The filter of the subscription skipped the event: it is done without the handler."""


@dataclass(frozen=True, slots=True)
class RetryIn:
    """The event is to be tried again in `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DeferFor:
    """The event is to be handed over again in `seconds`, and no attempt is used up, for this reason.

    bounded: whether that counts for `defer_max`.
    """

    seconds: float
    reason: str = ""
    bounded: bool = True


@dataclass(frozen=True, slots=True)
class Dead:
    """The event is given up, for this reason."""

    reason: str


Outcome = Done | RetryIn | DeferFor | Dead
