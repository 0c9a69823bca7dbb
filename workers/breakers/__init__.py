"""Breakers: a target that is down is left alone, over all workers, and what has to wait for it waits."""

from workers.breakers.breaker import Breaker
from workers.breakers.breakers import Breakers, breaking
from workers.breakers.call import Call

__all__ = ["Breaker", "Breakers", "Call", "breaking"]
