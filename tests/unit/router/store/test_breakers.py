"""The script of the shared breakers, on each kind of store, and what a worker judges alone, by the same rules."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.stores import fake_store
from support.waiting import eventually

from router.store.breakers import Circuit, Position
from router.store.client import Store
from workers.breakers.alone import Alone

INTERVAL = 30.0
FAILURES = 3


class Asking:
    """Asks for calls of one target, as workers do."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.circuit = Circuit(store.keys, "crm", FAILURES, INTERVAL)

    async def take(self) -> Position:
        """Ask for a call."""
        return Position.of(await self.store.call(self.circuit.take()))

    async def failed(self, turn: int) -> Position:
        """Tell of a failure."""
        return Position.of(await self.store.call(self.circuit.failed(turn, "TimeoutError")))

    async def succeeded(self, turn: int) -> Position:
        """Tell of a success."""
        return Position.of(await self.store.call(self.circuit.succeeded(turn)))

    async def open(self) -> Position:
        """Have the breaker open."""
        turn = (await self.take()).turn
        return [await self.failed(turn) for _ in range(FAILURES)][-1]

    async def pass_interval(self) -> None:
        """Have the next probe be due."""
        await self.set(next=1)

    async def set(self, **fields: int) -> None:
        """Write fields of the breaker."""
        await self.store.client.hset(self.circuit.key, mapping={name: str(value) for name, value in fields.items()})


@pytest.fixture
def crm(store: Store) -> Asking:
    """Return who asks."""
    return Asking(store)


async def test_failures_in_a_row_open_it(crm: Asking) -> None:
    """It opens with the last failure of a row, and says so once; a success begins a new row."""
    turn = (await crm.take()).turn
    for _ in range(FAILURES - 1):
        assert not (await crm.failed(turn)).open
    await crm.succeeded(turn)
    opened = [await crm.failed(turn) for _ in range(FAILURES)]
    assert [(found.open, found.turned) for found in opened] == [(False, False), (False, False), (True, True)]
    waiting = await crm.take()
    assert (waiting.goes, waiting.open, waiting.failures) == (False, True, FAILURES)
    assert waiting.wait == pytest.approx(INTERVAL, abs=10)


async def test_one_probe_for_each_interval(crm: Asking) -> None:
    """Of all that ask in an interval one goes; where it is never heard of again, the next goes in the next."""
    await crm.open()
    for _ in range(3):
        assert not (await crm.take()).goes
        await crm.pass_interval()
        assert [(await crm.take()).goes for _ in range(4)] == [True, False, False, False]


async def test_a_probe_that_succeeds_closes_it(crm: Asking) -> None:
    """Then all go again, and a row of failures begins anew."""
    await crm.open()
    await crm.pass_interval()
    probe = await crm.take()
    closed = await crm.succeeded(probe.turn)
    assert (closed.open, closed.turned, closed.failures) == (False, True, 0)
    assert [(await crm.take()).goes for _ in range(3)] == [True] * 3
    assert not (await crm.failed(closed.turn)).open


async def test_a_probe_that_fails_leaves_it_open(crm: Asking) -> None:
    """The next probe goes no sooner than it would have."""
    await crm.open()
    await crm.pass_interval()
    probe = await crm.take()
    failed = await crm.failed(probe.turn)
    assert (failed.goes, failed.open, failed.turned) == (True, True, False)
    assert failed.wait == pytest.approx(INTERVAL, abs=10)


async def test_what_is_heard_of_an_earlier_turn(crm: Asking) -> None:
    """Calls that went before it opened do not close it, and those of the outage do not open it again."""
    before = (await crm.take()).turn
    await crm.open()
    late = await crm.succeeded(before)
    assert (late.goes, late.open) == (False, True)
    await crm.pass_interval()
    await crm.succeeded((await crm.take()).turn)
    for _ in range(FAILURES):
        late = await crm.failed(before)
        assert (late.goes, late.open, late.failures) == (False, False, 0)


async def test_failures_that_are_long_ago(crm: Asking) -> None:
    """A failure of long ago is not in a row with the next one."""
    turn = (await crm.take()).turn
    for _ in range(FAILURES):
        await crm.set(last=1)
        assert (await crm.failed(turn)).failures == 1


async def test_a_clock_that_is_set_back(crm: Asking) -> None:
    """No probe waits for longer than an interval, whatever is written down."""
    await crm.open()
    await crm.set(next=1 << 50, opened=1 << 50)
    waiting = await crm.take()
    assert waiting.wait <= INTERVAL
    assert waiting.open_for == 0


async def test_a_clock_that_is_set_back_keeps_no_probe(crm: Asking) -> None:
    """The next probe goes an interval later by the clock as it is now, not once that has caught up an hour."""
    await crm.open()
    seconds, micros = await crm.store.client.time()
    ahead = seconds * 1000 + micros // 1000 + 3_600_000
    await crm.set(next=ahead + 1_000, opened=ahead, since=ahead, last=ahead)
    crm.circuit = Circuit(crm.store.keys, "crm", FAILURES, 0.05)
    assert not (await crm.take()).goes

    async def goes() -> bool:
        return (await crm.take()).goes

    await eventually(goes, timeout=5)


async def test_a_call_that_changes_nothing_writes_nothing(crm: Asking) -> None:
    """While all goes well there is no key; what there is has an end."""
    await crm.succeeded((await crm.take()).turn)
    assert not await crm.store.client.exists(crm.circuit.key)
    await crm.open()
    assert 0 < await crm.store.client.pttl(crm.circuit.key) <= (INTERVAL + 86_400) * 1000


class InStore:
    """The breaker of the script, for the laws."""

    def __init__(self, store: Store) -> None:
        self._asking = Asking(store)
        self.take = self._asking.take
        self.failed = self._asking.failed
        self.succeeded = self._asking.succeeded
        self.pass_interval = self._asking.pass_interval


class InWorker:
    """The breaker of a worker alone, for the laws."""

    def __init__(self) -> None:
        self._alone, self._now = Alone(FAILURES, INTERVAL), 1000.0

    async def take(self) -> Position:
        """Ask for a call."""
        return self._alone.take(self._now)

    async def failed(self, turn: int) -> Position:
        """Tell of a failure."""
        return self._alone.failed(turn, self._now)

    async def succeeded(self, turn: int) -> Position:
        """Tell of a success."""
        return self._alone.succeeded(turn, self._now)

    async def pass_interval(self) -> None:
        """Have the next probe be due."""
        self._now += INTERVAL


STEPS = st.lists(
    st.tuples(st.sampled_from(["take"] * 4 + ["fail"] * 4 + ["succeed", "die", "interval"]), st.integers(0, 99)),
    min_size=20,
    max_size=100,
)


class Laws:
    """Plays calls that go, fail, succeed or are never heard of, in any order, and holds a breaker to its laws."""

    def __init__(self, breaker: Any) -> None:
        self.breaker = breaker
        self.calls: list[int] = []
        self.row = 0
        self.open = False
        self.probed = True

    async def play(self, steps: list[tuple[str, int]]) -> list[Position]:
        """Play steps; return what was said."""
        said = []
        for verb, number in steps:
            if verb == "interval":
                await self.breaker.pass_interval()
                self.probed = False
            elif verb == "take":
                said.append(await self.take())
            elif self.calls:
                turn = self.calls.pop(number % len(self.calls))
                heard: dict[str, Callable[[int], Awaitable[Position]]] = {"fail": self.fail, "succeed": self.succeed}
                said += [await heard[verb](turn)] if verb in heard else []
        return said

    async def take(self) -> Position:
        """Ask: of an open breaker at most one call goes in each interval, of a closed one every call."""
        position = await self.breaker.take()
        assert position.open == self.open
        assert position.goes == (not self.open or not self.probed)
        self.probed = self.probed or self.open
        if position.goes:
            self.calls.append(position.turn)
        return position

    async def fail(self, turn: int) -> Position:
        """Tell of a failure: it opens only with so many in a row, and nothing else opens it."""
        position: Position = await self.breaker.failed(turn)
        self.row += position.goes
        assert position.turned == (position.goes and not self.open and self.row >= FAILURES)
        assert position.open == (self.open or position.turned)
        self.probed = self.probed or position.turned
        self.open = position.open
        return position

    async def succeed(self, turn: int) -> Position:
        """Tell of a success: where it counts, the breaker is closed after it."""
        position: Position = await self.breaker.succeeded(turn)
        if position.goes:
            self.row, self.open = 0, False
        assert position.open == self.open
        return position


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_laws(steps: list[tuple[str, int]]) -> None:
    """At most one probe goes in each interval, it never opens without failures, and after a success it is closed.

    The script and a worker alone say the same of the same calls.
    """

    async def play() -> None:
        async with fake_store() as store:
            shared = await Laws(InStore(store)).play(steps)
        alone = await Laws(InWorker()).play(steps)
        assert [(one.goes, one.turn, one.open, one.failures) for one in shared] == [
            (one.goes, one.turn, one.open, one.failures) for one in alone
        ]

    asyncio.run(play())
