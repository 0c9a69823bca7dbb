"""Leases, on each kind of store: one process has it, and only what that one writes counts."""

import asyncio

import pytest

from router.store.client import Store
from router.store.leases import Lease, LeaseLost, Taken


async def test_one_has_it(store: Store) -> None:
    """It says whether it was nobody's before; another gets it once it is given up or has ended."""
    key = store.keys.watching()
    one, two = Lease(store, key, 60), Lease(store, key, 60)
    assert [await each.take() for each in (one, one, two)] == [Taken.NEW, Taken.STILL, Taken.NO]
    await two.give_up()
    assert 0 < await store.command("PTTL", key) <= 60_000
    with pytest.raises(LeaseLost):
        await two.renew()
    await one.give_up()
    assert await two.take() is Taken.NEW


async def test_what_others_write_does_not_count(store: Store) -> None:
    """Fields are set and removed under the lease, in as many calls as it takes; without it nothing is."""
    key, learnt = store.keys.watching(), store.keys.learnt()
    one, two = Lease(store, key, 60), Lease(store, key, 60)
    await one.take()
    await one.note(learnt, {f"f{number}": number for number in range(250)})
    with pytest.raises(LeaseLost):
        await two.note(learnt, {"x": 1}, ["f1"])
    await one.note(learnt, {}, ["f1", "f2"])
    assert await store.command("HLEN", learnt) == 248


async def test_it_is_held_by_one_and_given_up(store: Store) -> None:
    """While one holds it another is not given it, and has it once the first has ended, however that was."""
    key = store.keys.archiving()
    one, two = Lease(store, key, 60), Lease(store, key, 60)

    async def fail() -> None:
        async with one.held() as is_ours, two.held() as is_theirs:
            assert (is_ours, is_theirs) == (True, False)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with two.held() as is_theirs:
        assert is_theirs


async def test_work_is_ended_where_the_lease_is_lost(store: Store) -> None:
    """Work under a lease comes to its own end, in a value or an error, or is ended once another has the lease."""
    key, ended = store.keys.watching(), asyncio.Event()
    lease = Lease(store, key, 0.03)

    async def work(seconds: float) -> float:
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.set()
        return 1 / seconds

    assert await lease.renewed(work(0.1)) == 10
    with pytest.raises(ZeroDivisionError):
        await lease.renewed(work(0))
    ended.clear()
    await store.command("SET", key, "another")
    with pytest.raises(LeaseLost):
        await lease.renewed(work(60))
    assert ended.is_set()
