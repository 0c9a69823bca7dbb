"""What an ingress counts for the watcher of silence, and when it notes it."""

import pytest
from support.stores import fake_store

from router.ingress.traffic import Traffic, TrafficNotes
from router.store.client import Store
from router.store.watched.traffic import HOUR, MOST, Came, Refused, hours, refusals

P = "visma-net-financial"


def test_new_items_count() -> None:
    """Items count for their publisher and their company, duplicates do not; each in its hour."""
    traffic = Traffic()
    traffic.came(P, ["7", "8", "", "7"], [True, True, True, False], 5)
    traffic.came(P, ["7"], [True], 9)
    traffic.came(P, ["7"], [True], HOUR + 1)
    traffic.came("other", ["7"], [False], 5)
    came, refused = traffic.take()
    assert came == {
        0: {P: Came(4, 9), f"{P}/7": Came(2, 9), f"{P}/8": Came(1, 5)},
        1: {P: Came(1, HOUR + 1), f"{P}/7": Came(1, HOUR + 1)},
    }
    assert (refused, traffic.take()) == ({}, ({}, {}))


def test_refusals_count() -> None:
    """Of refused requests the number is known, the first, the last and why."""
    traffic = Traffic()
    for at in (5, 6, 7):
        traffic.refused(P, "signature", at)
    assert traffic.take() == ({}, {P: Refused(3, 5, 7, "signature")})


def test_companies_and_hours_are_bounded() -> None:
    """However many companies are named, so many are told apart; however long the store is away, so many hours."""
    traffic = Traffic()
    traffic.came(P, [str(number) for number in range(MOST + 50)], [True] * (MOST + 50), 5)
    ((_, counts),) = traffic.take()[0].items()
    assert len(counts) == MOST + 1
    assert counts[P].events == MOST + 50
    for hour in range(100):
        traffic.came(P, ["x" * 1000], [True], hour * HOUR)
    came = traffic.take()[0]
    assert list(came) == list(range(28, 100))
    assert max(map(len, came[99])) < 150


@pytest.fixture
def clock() -> list[float]:
    """Return a clock that tests set."""
    return [3600.0]


async def test_notes_say_what_came_and_that_somebody_listened(clock: list[float]) -> None:
    """Each five minutes within which a process ran are noted as listened, across the ends of hours."""
    async with fake_store() as store:
        traffic = Traffic()
        notes = TrafficNotes(traffic, store, "one", every=600, clock=lambda: clock[0])
        traffic.came(P, ["7"], [True], 3_600_000)
        clock[0] += 301
        await notes.note()
        clock[0] = 7201.0 - 60
        await notes.note()
        clock[0] = 7201.0
        await notes.note()
        first, second = await hours(store, [1, 2])
    assert first.slots == "110000011111"  # it does not know of more than twice its interval
    assert second.slots == "100000000000"
    assert first.came == {P: Came(1, 3_600_000), f"{P}/7": Came(1, 3_600_000)}


async def test_what_the_store_does_not_take_is_noted_later(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away what came is kept, and is noted once it is back."""
    async with fake_store() as store:
        traffic = Traffic()
        notes = TrafficNotes(traffic, store, "one", clock=lambda: clock[0])
        with monkeypatch.context() as patched:
            patched.setattr(Store, "run", away)
            for _ in range(3):
                clock[0] += 60
                traffic.came(P, ["7"], [True], int(clock[0] * 1000))
                traffic.refused("other", "signature", int(clock[0] * 1000))
                await notes.note()
        assert await hours(store, [1]) == await hours(store, [2])
        await notes.note()
        (hour,) = await hours(store, [1])
        assert hour.came[P] == Came(3, 3_780_000)
        assert await refusals(store) == {"other": Refused(3, 3_660_000, 3_780_000, "signature")}


async def away(*_: object) -> None:
    """Fail as a store does that is away."""
    raise ConnectionError("away")


async def test_the_last_note_is_made_at_the_end() -> None:
    """What came since the last note is noted when the process ends; it notes soon after its start, too."""
    async with fake_store() as store:
        traffic = Traffic()
        async with TrafficNotes(traffic, store, "one", clock=lambda: 3600.0):
            traffic.came(P, [""], [True], 3_600_000)
        (hour,) = await hours(store, [1])
    assert hour.came == {P: Came(1, 3_600_000)}
