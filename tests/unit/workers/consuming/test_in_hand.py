"""What a consumer has in hand, whatever order its parts add, touch, settle and lose deliveries in."""

import asyncio

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from workers.consuming.in_hand import InHand
from workers.delivery import Held

PLACES = st.tuples(st.sampled_from(["p/a", "p/b"]), st.booleans(), st.sampled_from([b"1-0", b"2-0", b"3-0"]))
SOME = st.lists(st.integers(0, 30), max_size=5)


class InHandMachine(RuleBasedStateMachine):
    """Deliveries come and go as the reader, the heartbeat and the settler have it; `model` is what should be held."""

    def __init__(self) -> None:
        super().__init__()
        self.in_hand = InHand()
        self.in_hand.made_room = self.room_made
        self.model: list[Held] = []
        self.known: list[Held] = []
        self.rooms = self.departures = 0
        self.now = 0.0

    def room_made(self) -> None:
        """Look at what is in hand at the very moment: who has left is not counted any more."""
        self.rooms += 1
        assert list(self.in_hand) == self.model

    def some(self, numbers: list[int]) -> list[Held]:
        """Return deliveries by number, those that have left among them, one perhaps twice."""
        return [self.known[number % len(self.known)] for number in numbers] if self.known else []

    @rule(places=st.lists(PLACES, max_size=4))
    def add(self, places: list[tuple[str, bool, bytes]]) -> None:
        """Read deliveries; an entry that is in hand may come once more."""
        held = [Held(stream, entry, {}, inbox=inbox, touched=self.now) for stream, inbox, entry in places]
        self.known += held
        self.model += held
        self.in_hand.add(held)

    @rule(numbers=SOME, lost=st.sets(st.sampled_from([b"1-0", b"2-0"])))
    def touch(self, numbers: list[int], lost: set[bytes]) -> None:
        """Renew the hold: everything stays where it is, and each delivery knows when and whether it was lost."""
        self.now += 1
        touched = self.some(numbers)
        gone = {held for held in touched if held.entry_id in lost}
        self.in_hand.touch(touched, self.now, gone)
        assert all(held.touched == self.now and held.lost == (held in gone) for held in touched)

    @rule(numbers=SOME)
    def settle(self, numbers: list[int]) -> None:
        """Settle deliveries, perhaps such as have left already."""
        items = self.some(numbers)
        self.leave(items)
        self.in_hand.settle(items)

    @rule(number=st.integers(0, 30))
    def lose(self, number: int) -> None:
        """Let go of one that another consumer has."""
        for held in self.some([number]):
            self.leave([held])
            self.in_hand.lost(held)
            assert held.lost

    def leave(self, items: list[Held]) -> None:
        """Take deliveries out of the model; count a departure where any was there."""
        before = len(self.model)
        self.model = [held for held in self.model if held not in items]
        self.departures += len(self.model) < before

    @invariant()
    def it_holds_what_has_not_left(self) -> None:
        """Each delivery is in hand from the moment it was added until it leaves, in the order of reading."""
        assert list(self.in_hand) == self.model
        assert len(self.in_hand) == len(self.model)
        assert all((held in self.in_hand) == (held in self.model) for held in self.known)

    @invariant()
    def room_is_made_once_for_each_departure(self) -> None:
        """Those that leave together make room once, and those that had left make none."""
        assert self.rooms == self.departures

    @invariant()
    def places_agree(self) -> None:
        """Have exactly the places of what is in hand."""
        assert self.in_hand.places() == {(held.stream, held.inbox, held.entry_id) for held in self.model}


TestInHand = InHandMachine.TestCase


async def test_who_waits_hears_of_the_next_departure() -> None:
    """All who wait are woken by the next delivery that leaves, and by nothing else; waiting again begins anew."""
    in_hand, (first, second) = InHand(), (Held("p/a", b"%d-0" % n, {}, inbox=False, touched=0.0) for n in (1, 2))
    in_hand.add([first, second])
    left, also = in_hand.left(), in_hand.left()
    in_hand.touch([first], 1.0, {first})
    in_hand.settle([])
    assert not left.done()
    in_hand.lost(first)
    await asyncio.wait_for(asyncio.gather(left, also), 30)
    later = in_hand.left()
    in_hand.settle([first])
    assert not later.done()
    in_hand.settle([second])
    await asyncio.wait_for(later, 30)


async def test_who_gave_up_waiting_breaks_nothing() -> None:
    """A wait that was cancelled does not keep deliveries from leaving."""
    in_hand, held = InHand(), Held("p/a", b"1-0", {}, inbox=False, touched=0.0)
    in_hand.add([held])
    in_hand.left().cancel()
    left = in_hand.left()
    in_hand.settle([held])
    await asyncio.wait_for(left, 30)
