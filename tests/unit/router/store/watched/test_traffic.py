"""What ingresses note of what came to them, on each kind of store."""

import pytest

from router.store.client import Store
from router.store.watched.traffic import MOST, Came, Hour, Refused, Spooled, hours, note, refusals, spools

NONE = "0" * 12


async def noted(
    store: Store,
    hour: int = 1,
    slots: str = NONE,
    spooled: Spooled | None = None,
    came: dict[str, Came] | None = None,
    refused: dict[str, Refused] | None = None,
    process: str = "one",
) -> int:
    """Note something; return how many companies were left out."""
    return sum(await store.run(note(store.keys, hour, slots, process, spooled, came or {}, refused or {})))


async def test_what_came_adds_up(store: Store) -> None:
    """Of each subject all events count, and the last of all ingresses; what one listened, all did."""
    await noted(store, slots="110000000000", came={"p": Came(2, 50), "p/7": Came(2, 50)})
    await noted(store, slots="001000000000", came={"p": Came(1, 40)}, process="two")
    await noted(store, 2, came={"q": Came(1, 90)})
    first, second, third = await hours(store, [1, 2, 3])
    assert first == Hour({"p": Came(3, 50), "p/7": Came(2, 50)}, "111000000000", frozenset("p"))
    assert first.listened == pytest.approx(0.25)
    assert second.came == {"q": Came(1, 90)}
    assert third == Hour()


async def test_who_may_send(store: Store) -> None:
    """Publishers that an ingress may take something from are known, sent or not; that ends no row of refusals."""
    await noted(store, came={"p": Came(2, 50), "q": Came(0, 0)}, refused={"q": Refused(1, 1, 1, "address")})
    await noted(store, came={"p": Came(0, 0), "q": Came(0, 0)}, process="two")
    (hour,) = await hours(store, [1])
    assert (hour.came, hour.ready) == ({"p": Came(2, 50)}, {"p", "q"})
    assert list(await refusals(store)) == ["q"]


async def test_hours_end(store: Store) -> None:
    """What came in an hour is kept for three days."""
    await noted(store)
    assert 0 < await store.command("PTTL", store.keys.traffic(1)) <= 3 * 86_400_000


async def test_refusals_add_up_until_one_is_accepted(store: Store) -> None:
    """They count since the first of them; a request that is accepted, of whichever ingress, ends them."""
    await noted(store, refused={"p": Refused(2, 10, 20, "signature"), "q": Refused(1, 1, 1, "address")})
    await noted(store, refused={"p": Refused(3, 30, 40, "unsigned")}, process="two")
    assert await refusals(store) == {"p": Refused(5, 10, 40, "unsigned"), "q": Refused(1, 1, 1, "address")}
    await noted(store, came={"p": Came(1, 50)})
    assert list(await refusals(store)) == ["q"]
    await noted(store, came={"q": Came(1, 50)}, refused={"q": Refused(9, 50, 60, "signature")})
    assert await refusals(store) == {}


async def test_companies_are_bounded(store: Store) -> None:
    """Of an hour so many companies are known, and how many were left out; publishers always are."""
    came = {f"p/{number}": Came(1, 1) for number in range(MOST + 50)}
    assert await noted(store, came=came) >= 50
    assert await noted(store, came={"p": Came(1, 1), "p/x": Came(1, 1), "p/1": Came(1, 1)}) == 1
    (hour,) = await hours(store, [1])
    assert hour.came["p/1"] == Came(2, 1)
    assert "p" in hour.came
    assert len(hour.came) <= MOST + 1


async def test_spools(store: Store) -> None:
    """What a spool holds stands there until its process says that it is empty."""
    held = Spooled(1, 2, 3, 4, 5)
    await noted(store, spooled=held)
    await noted(store, process="two")
    assert await spools(store) == {"one": held}
    await noted(store)
    assert await spools(store) == {}


async def test_what_others_wrote(store: Store) -> None:
    """Rubbish in the hashes counts as nothing, and hides nothing."""
    await noted(
        store, came={"p": Came(1, 1)}, refused={"q": Refused(1, 1, 1, "signature")}, spooled=Spooled(1, 2, 3, 4, 5)
    )
    for key in (store.keys.traffic(1), store.keys.refusals(), store.keys.spools()):
        for text in (b"", b"\xff", b"1 x", b"1 2 3 4 5 6 7", b"-1 5"):
            await store.command("HSET", key, b"rubbish" + text, text)
    await store.command("HSET", store.keys.traffic(1), "listened", "x")
    assert (await hours(store, [1]))[0] == Hour({"p": Came(1, 1)}, ready=frozenset("p"))
    assert list(await refusals(store)) == ["q"]
    assert list(await spools(store)) == ["one"]
    await noted(store, came={"rubbish1 x": Came(1, 1)})
