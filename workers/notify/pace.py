"""How fast a notifier goes about it; times in seconds."""

from dataclasses import dataclass

__all__ = ["Pace"]


@dataclass(frozen=True, slots=True)
class Pace:
    """lease: after which another process goes on for one that has died. block: how long one read waits.

    gather: for which what comes together is gathered, since incidents seldom come alone. first, longest: until a
    message that was not taken is tried again, which double; asked: for which a receiver may ask at most.
    """

    lease: float = 15.0
    block: float = 10.0
    gather: float = 1.0
    first: float = 2.0
    longest: float = 300.0
    asked: float = 3600.0
