"""What a consumer has in hand: the deliveries that it has read and that are not settled in the store yet."""

import asyncio
from collections.abc import Callable, Container, Iterable, Iterator

from workers.delivery import Held


class InHand:
    """The deliveries of one consumer, in the order in which it read them: from `add` to `settle` or `lost`.

    Each is one by itself: an entry that the store hands out once more is another delivery.
    """

    def __init__(self) -> None:
        self._held: dict[Held, None] = {}
        self._lingering: set[Held] = set()
        self._left: asyncio.Future[None] | None = None
        self.made_room: Callable[[], None] = lambda: None
        """Is called whenever deliveries have left, once for all that leave together."""

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held)

    @property
    def working(self) -> int:
        """How many wait for a handler or keep a lane busy."""
        return len(self._held) - len(self._lingering)

    def __contains__(self, held: object) -> bool:
        return held in self._held

    def add(self, items: Iterable[Held]) -> None:
        """Take deliveries that were read."""
        self._held.update(dict.fromkeys(items))

    def linger(self, items: Iterable[Held]) -> None:
        """Note that deliveries keep no lane busy any more, though they stay in hand."""
        self._lingering.update(self._held.keys() & set(items))
        self.made_room()

    def touch(self, items: Iterable[Held], now: float, lost: Container[Held]) -> None:
        """Note that the hold on deliveries was renewed `now` (monotonic seconds), except on those in `lost`.

        These stay in hand until somebody lets go of them: their handler may be running.
        """
        for held in items:
            held.touched = now
            held.lost = held in lost

    def settle(self, items: Iterable[Held]) -> None:
        """Let go of deliveries whose outcome the store has; those that have left before are ignored."""
        before = len(self._held)
        for held in items:
            self._held.pop(held, None)
            self._lingering.discard(held)
        if len(self._held) < before:
            self._leave()

    def lost(self, held: Held) -> None:
        """Let go of a delivery that another consumer has taken over."""
        held.lost = True
        self.settle([held])

    def left(self) -> asyncio.Future[None]:
        """Return what ends when the next deliveries leave."""
        if self._left is None or self._left.done():
            self._left = asyncio.get_running_loop().create_future()
        return self._left

    def places(self) -> set[tuple[str, bool, bytes]]:
        """Return where the deliveries are pending: stream, whether in its inbox, and entry."""
        return {(held.stream, held.inbox, held.entry_id) for held in self._held}

    def _leave(self) -> None:
        left, self._left = self._left, None
        if left is not None and not left.done():
            left.set_result(None)
        self.made_room()
