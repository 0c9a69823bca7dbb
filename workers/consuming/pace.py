"""How far ahead the readers of one consumer read.

It is measured, not set: about a quarter of a second's work beyond what can run at once. A slow handler thus leaves the
rest to other workers, and a fast one never waits for a read.
"""

import asyncio

from workers.consuming.context import Context

_AHEAD = 0.25
"""Seconds of work to read ahead."""
_MOST = 250
"""Entries to take from one stream in one read: COUNT holds for each stream, and all of them may be full."""
_LATELY = 1.0
"""Seconds for which a reader that brought something is taken to bring more."""


class Pace:
    """Shared by all readers of a consumer; `capacity` deliveries can run at once."""

    def __init__(self, context: Context, capacity: int) -> None:
        self._context = context
        self._capacity = capacity
        self._room = asyncio.Event()
        self._stopped = False
        self._paused = False
        self.waiting = 0
        """How many readers wait, and so have no read under way."""
        self._brought: dict[object, tuple[int, float]] = {}
        self._rate = 0.0
        self._read_at = context.monotonic()
        context.in_hand.made_room = self._look_for_room

    def pause(self) -> None:
        """Let nobody begin a read until `resume`."""
        self._paused = True

    @property
    def is_paused(self) -> bool:
        """Whether nobody may begin a read."""
        return self._paused

    def resume(self) -> None:
        """Let all read again."""
        self._paused = False
        self._room.set()

    def stop(self) -> None:
        """Let nobody wait any more."""
        self._stopped = True
        self._room.set()

    async def wait_for_room(self) -> None:
        """Return once a read is worth it."""
        while not (self._stopped or self._is_worth_a_read()):
            self._room.clear()
            self.waiting += 1
            try:
                await self._room.wait()
            finally:
                self.waiting -= 1

    def count(self, reader: object, sources: int) -> int:
        """Return how many entries a reader may ask of each of its sources, of which it has so many.

        That is the room, divided among the sources that had something, its own and those of the readers beside it.
        """
        own, _ = self._brought.get(reader, (sources, 0.0))
        since = self._context.monotonic() - _LATELY
        others = sum(had for other, (had, at) in self._brought.items() if at > since and other is not reader)
        return max(1, min(_MOST, (self.target() - self._context.in_hand.working) // (own + others)))

    def was_read(self, reader: object, sources: int, deliveries: int) -> None:
        """Take note of what a read brought, and of how many of its sources had something."""
        if sources:
            self._brought[reader] = (sources, self._context.monotonic())
        self._measure(deliveries)

    def target(self) -> int:
        """Return how many deliveries to have in hand."""
        return self._capacity + min(self._context.settings.prefetch, int(self._rate * _AHEAD))

    def _look_for_room(self) -> None:
        if self._is_worth_a_read():
            self._room.set()

    def _is_worth_a_read(self) -> bool:
        if self._paused:
            return False
        held, target = self._context.in_hand.working, self.target()
        # A free lane is worth a read at once; reading further ahead is when half of that is used up.
        return held < self._capacity or (target - held) * 2 >= target

    def _measure(self, number: int) -> None:
        """Keep a moving average of deliveries a second."""
        now = self._context.monotonic()
        elapsed = max(now - self._read_at, 1e-6)
        self._read_at = now
        weight = min(1.0, elapsed * 4)
        self._rate += (number / elapsed - self._rate) * weight
