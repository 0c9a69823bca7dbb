"""What a receiver puts off by Retry-After: for how long nothing is sent, and since when operators see that."""

from random import Random

import pytest

from workers.forward.deferring import Deferring
from workers.outcomes import Defer

NOON = 1_772_366_400.0


class Clock:
    """A time that the test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def epoch(self) -> float:
        """Return it as seconds of the epoch."""
        return NOON + self.now

    def monotonic(self) -> float:
        """Return it as it is."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def deferring(clock: Clock) -> Deferring:
    """Return one that nothing is put off of yet."""
    return Deferring(Random(1), clock.epoch, clock.monotonic)


def seen(deferring: Deferring) -> tuple[float, float] | None:
    """Return since when and until when events are put off, in seconds of the clock."""
    found = deferring.deferral
    return None if found is None else (found.since.timestamp() - NOON, found.until.timestamp() - NOON)


async def test_until_when(deferring: Deferring, clock: Clock) -> None:
    """What comes before the time that the receiver named is deferred until then, and spreads over some time."""
    await deferring.wait()
    clock.now = 10
    found = deferring.begin(Defer(60, "503"))
    assert 60 <= found.delay <= 72
    assert (str(found), seen(deferring)) == ("503", (10, 70))
    clock.now = 40
    with pytest.raises(Defer, match="503") as later:
        await deferring.wait()
    assert 30 <= later.value.delay <= 36
    clock.now = 70
    await deferring.wait()


async def test_since_when(deferring: Deferring, clock: Clock) -> None:
    """It lasts since the first answer that put off, over all that follow, until another answer after the named time."""
    deferring.begin(Defer(60, "503"))
    clock.now = 5
    deferring.ended()
    assert seen(deferring) == (0, 60)  # of an exchange that was under way
    clock.now = 61
    deferring.begin(Defer(60, "429"))
    assert seen(deferring) == (0, 121)
    clock.now = 122
    deferring.ended()
    assert seen(deferring) is None
    deferring.begin(Defer(1, "503"))
    assert seen(deferring) == (122, 123)


async def test_one_company(deferring: Deferring) -> None:
    """Where a limit holds back what comes, it is shown and nothing else waits for it."""
    deferring.begin(Defer(60, "429"), holds=False)
    await deferring.wait()
    assert seen(deferring) == (0, 60)


async def test_another_receiver(deferring: Deferring) -> None:
    """Of another receiver nothing is known."""
    deferring.begin(Defer(60, "503"))
    deferring.forget()
    await deferring.wait()
    assert seen(deferring) is None
