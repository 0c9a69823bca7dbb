"""Leases, on each kind of store: one process has it, and only what that one writes counts."""

from router.store.client import Store
from router.store.leases import Lease


async def test_one_has_it(store: Store) -> None:
    """It says whether it was nobody's before; another gets it once it is given up or has ended."""
    key = store.keys.watching()
    one, two = Lease(key, "one"), Lease(key, "two")
    calls = [one.take(60_000), one.take(60_000), two.take(60_000), two.take(0), one.take(0), two.take(60_000)]
    assert [await store.call(call) for call in calls] == [2, 1, 0, 0, 1, 2]
    assert 0 < await store.command("PTTL", key) <= 60_000


async def test_what_others_write_does_not_count(store: Store) -> None:
    """Fields are set and removed under the lease, in as many calls as it takes; without it nothing is."""
    key, learnt = store.keys.watching(), store.keys.learnt()
    one, two = Lease(key, "one"), Lease(key, "two")
    await store.call(one.take(60_000))
    many = {f"f{number}": number for number in range(250)}
    assert [await store.call(call) for call in one.notes(learnt, many)] == [1, 1, 1]
    assert [await store.call(call) for call in two.notes(learnt, {"x": 1}, ["f1"])] == [0, 0]
    assert [await store.call(call) for call in one.notes(learnt, {}, ["f1", "f2"])] == [1]
    assert await store.command("HLEN", learnt) == 248
