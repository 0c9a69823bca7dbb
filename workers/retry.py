"""The retry policy: a pure function of the attempt, the error and a random number."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from config.errors import ConfigError
from workers.failure import members_of, text_of
from workers.outcomes import (
    AlreadyDone,
    BreakerOpen,
    Dead,
    DeadLetter,
    Defer,
    DeferFor,
    Done,
    Outcome,
    RetryIn,
    RetryLater,
)

__all__ = ["Retry", "decide", "deferral_of"]

_DONE = Done()
_MAX_DOUBLINGS = 64
_SHORTEST = 0.1
"""Seconds for which an event is deferred at least: `Defer(0)` again and again must not keep a worker busy."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a failed event is tried again.

    max_attempts: deliveries in all, crashes of the worker included, before the event is dead. What a worker had in hand
        when it died is delivered once more even with 1, since it may never have been started.
    first_delay, max_delay: seconds; the delay doubles with every attempt between them, and the actual one is drawn
        evenly from 0 to it (full jitter), so that events that failed together do not come back together.
    never: classes of exceptions that a retry cannot mend; the event is dead at once.
    """

    max_attempts: int = 8
    first_delay: float = 2.0
    max_delay: float = 900.0
    never: Sequence[type[BaseException]] = ()

    def __post_init__(self) -> None:
        never = (self.never,) if isinstance(self.never, type) else tuple(self.never)
        if not all(inspect.isclass(error) and issubclass(error, BaseException) for error in never):
            raise ConfigError(f"Retry(never={self.never!r}): name classes of exceptions")
        object.__setattr__(self, "never", never)
        if self.max_attempts < 1:
            raise ConfigError(f"Retry(max_attempts={self.max_attempts!r}): allow at least 1 attempt")
        if not 0 <= self.first_delay <= self.max_delay < float("inf"):
            raise ConfigError(
                f"Retry(first_delay={self.first_delay!r}, max_delay={self.max_delay!r}): "
                "delays are seconds, and 0 <= first_delay <= max_delay"
            )

    def ceiling(self, attempt: int) -> float:
        """Return the longest delay after the given attempt (1 for the first), in seconds."""
        return float(min(self.max_delay, self.first_delay * 2 ** min(attempt - 1, _MAX_DOUBLINGS)))

    def delay(self, attempt: int, random: Random) -> float:
        """Return the delay to wait after the given attempt, in seconds."""
        return random.uniform(0, self.ceiling(attempt))


def decide(
    retry: Retry, attempt: int, error: BaseException | None, random: Random, *, deferrable: float = float("inf")
) -> Outcome:
    """Return what becomes of an event whose attempt number `attempt` ended in `error`, or well where that is None.

    Of an exception group the members count, and of several the strongest: dead, then later, then retry, then deferred:
    what really failed is an attempt. The cause of an error (`raise … from`) does not count: who raises another error
    has decided otherwise. `deferrable`: for how many seconds the event may still be deferred.
    """
    if error is None or isinstance(error, AlreadyDone):
        return _DONE
    if deferral := deferral_of(error):
        return _bounded(deferral, deferrable)
    members = members_of(error)
    for member in members:
        if isinstance(member, DeadLetter):
            return Dead(text_of(member))
    for member in (error, *members):
        if isinstance(member, tuple(retry.never)):
            return Dead(f"{type(member).__name__} is never retried")
    if attempt >= retry.max_attempts:
        return Dead(f"failed {attempt} of {retry.max_attempts} attempts")
    delays = [delay for member in members if (delay := _asked(member)) is not None]
    return RetryIn(max(delays) if delays else retry.delay(attempt, random))


def _bounded(deferral: DeferFor, deferrable: float) -> Outcome:
    if not deferral.bounded:
        return deferral
    if deferrable <= 0:
        return Dead(f"deferred for longer than defer_max allows: {deferral.reason}")
    return DeferFor(min(deferral.seconds, deferrable), deferral.reason)


def deferral_of(error: BaseException) -> DeferFor | None:
    """Return what a handler asked for that only deferred its event; None where anything failed."""
    members = members_of(error)
    delays = [_asked(member) for member in members if isinstance(member, Defer)]
    known = [delay for delay in delays if delay is not None]
    if not known or len(known) < len(members):
        return None
    longest = max(known)
    bounded = not all(isinstance(member, BreakerOpen) for member in members)
    return DeferFor(max(longest, _SHORTEST), text_of(members[known.index(longest)]), bounded)


def _asked(error: BaseException) -> float | None:
    """Return the delay that a handler asked for, in seconds."""
    # A subclass may have forgotten its super().__init__(): then it is a failure like others.
    delay = getattr(error, "delay", None) if isinstance(error, RetryLater | Defer) else None
    return delay if isinstance(delay, int | float) and 0 <= delay < float("inf") else None
