"""How long events waited for a handler: from their receipt to the start of their first attempt."""

import time
from collections.abc import Callable, Iterable

from router.telemetry.fast_histogram import HistogramChild
from workers.delivery import Held

__all__ = ["Waited"]


class Waited:
    """Observes the waits of one subscription; `clock` in epoch seconds."""

    def __init__(self, timing: HistogramChild, clock: Callable[[], float] = time.time) -> None:
        self._timing = timing
        self._clock = clock

    def starting(self, deliveries: Iterable[Held]) -> None:
        """Take note that attempts start now; those of a retry are left out, since they wait on purpose."""
        now, observe = self._clock(), self._timing.observe
        for held in deliveries:
            if held.received and not held.attempts and not held.crashes:
                waited = now - held.received / 1000
                observe(waited if waited > 0 else 0.0)  # clocks of two machines may differ
