"""Removing a subscription: everything of its own goes, stream by stream, and nothing of anybody else's."""

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_events, put_group

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.lines import Item, Lines
from workers.operations.handover import replayed_keys
from workers.operations.removal import FIGURES, Removal, Removed
from workers.state.groups import live_consumers
from workers.state.overview import holdings, overview

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
STREAMS = (CUSTOMERS, SUPPLIERS)


async def fill(store: Store, name: str = "sync") -> None:
    """Let a subscription have something everywhere: on one stream 1 in hand, 1 scheduled, 2 in its inbox, 3 waiting."""
    keys = store.keys
    await put_group(store, name, *STREAMS)
    events, inbox = keys.events(CUSTOMERS), keys.inbox(CUSTOMERS, name)
    [reply] = await store.commands([("XREADGROUP", "GROUP", name, "c", "COUNT", 2, "STREAMS", events, ">")])
    (first, _), _ = reply[events.encode()]
    target = (keys.parked(CUSTOMERS, name), keys.due(CUSTOMERS, name), name, "c")
    await store.call(scripts.schedule(events, *target, first, 60_000, ["id", "x", "raw", "x"], inbox=False))
    for _ in range(2):
        await store.client.xadd(inbox, {"id": "x"})
    await store.commands([("XREADGROUP", "GROUP", name, "c", "COUNT", 1, "STREAMS", inbox, ">")])
    await store.client.zadd(keys.consumers(name), {"c": 1})
    await store.client.hset(keys.restored(CUSTOMERS, name), "1-0 x", "2-0")
    await store.client.hset(replayed_keys(keys, CUSTOMERS, name)[0], "1-0", "1")


@pytest.fixture
async def filled(store: Store) -> Store:
    """Return a store with five events, and the subscriptions `sync` and `audit` at work on them."""
    await put_events(store, *(f"e{number}" for number in range(5)))
    await fill(store, "sync")
    await fill(store, "audit")
    return store


def own_keys(store: Store, name: str) -> list[str]:
    """Return every key that a subscription may have to itself."""
    keys = store.keys
    each = (keys.inbox, keys.due, keys.parked, keys.dead, keys.restored)
    own = [*(key(stream, name) for stream in STREAMS for key in each), keys.consumers(name)]
    return [*own, *(key for stream in STREAMS for key in replayed_keys(keys, stream, name))]


async def existing(store: Store, name: str) -> int:
    """Return how many keys a subscription has to itself."""
    return sum([await store.client.exists(key) for key in own_keys(store, name)])


async def _held(store: Store) -> dict[str, tuple[int, ...]]:
    """Return what `sync` has on each stream: waiting, in its inbox, scheduled, dead."""
    found = await holdings(store, STREAMS, "sync")
    return {holding.stream: tuple(getattr(holding, figure) for figure in FIGURES) for holding in found}


async def test_what_goes_is_counted(filled: Store) -> None:
    """What is waiting in the stream, in the inbox, scheduled and dead is told apart, for each stream."""
    await put_dead(filled, "gone")
    assert await _held(filled) == {CUSTOMERS: (4, 2, 1, 1), SUPPLIERS: (0, 0, 0, 0)}
    assert await holdings(filled, STREAMS, "nobody") == []


async def _remove(store: Store, *events: str, dead_letters: bool) -> Removed:
    """Remove `sync`, from some streams or from all; return what became of that."""
    removal = Removal(store, Catalogue.load(), Settings(), "sync", events=events, dead_letters=dead_letters)
    await removal.run()
    return removal.removed


async def test_everything_of_its_own_goes(filled: Store) -> None:
    """No group and no key is left of it; events and other subscriptions are as they were."""
    others = await existing(filled, "audit")
    before = await overview(filled, STREAMS)
    removed = await _remove(filled, dead_letters=False)
    assert (removed.dead_letters, removed.kept, removed.refused) == (0, (), {})
    assert await existing(filled, "sync") == 0
    assert await existing(filled, "audit") == others > 0
    left = await overview(filled, STREAMS)
    assert [stream.length for stream in left] == [5, 0]
    assert [stream.subscriptions for stream in left] == [
        tuple(way for way in stream.subscriptions if way.name == "audit") for stream in before
    ]


async def test_repeating_is_safe(filled: Store) -> None:
    """The second removal finds nothing, on streams that do not exist either, and makes nothing."""
    missing = f"{FINANCIAL}/unlisted"
    for _ in range(2):
        removed = await _remove(filled, dead_letters=True)
        assert (removed.kept, removed.refused) == ((), {})
    assert not await filled.client.exists(filled.keys.events(missing))


async def test_dead_letters_forbid_it(filled: Store) -> None:
    """Where there are dead letters everything stays, unless they are to go too; then their number is told."""
    await put_dead(filled, "gone")
    await put_dead(filled, "too")
    removed = await _remove(filled, dead_letters=False)
    assert (removed.dead_letters, removed.kept) == (0, (CUSTOMERS,))
    assert await _held(filled) == {CUSTOMERS: (4, 2, 1, 2)}
    removed = await _remove(filled, dead_letters=True)
    assert (removed.dead_letters, removed.kept) == (2, ())
    assert await existing(filled, "sync") == 0


async def fill_lines(store: Store) -> Lines:
    """Let `sync` have two keys with an event of each stream in its lines; return those."""
    lines = Lines(store.keys, "sync")
    await store.call(lines.lead("t/", 60_000))
    items = []
    for number, stream in enumerate((*STREAMS, *reversed(STREAMS))):
        key, place = f"k{number // 2}".encode(), f"{number + 1:013}-000000"
        ref = f"{place}o/{stream}".encode()
        items.append(Item(store.keys.events(stream), f"{number + 1:020}-{0:020}", key, ref, b"1\0x\x001\x000\0\x90"))
    assert await store.call(lines.add("t/", 60_000, [*items])) == len(items)
    return lines


async def test_the_lines_go_too(filled: Store) -> None:
    """What a keyed subscription has in its lines is counted, and nothing of them is left."""
    lines = await fill_lines(filled)
    assert await _held(filled) == {CUSTOMERS: (6, 2, 1, 0), SUPPLIERS: (2, 0, 0, 0)}
    await _remove(filled, dead_letters=False)
    assert not await filled.client.exists(*lines.keys)


async def test_the_lines_keep_what_is_of_other_streams(filled: Store) -> None:
    """A subscription that is removed from one stream has the events of others in its lines, ready as before."""
    lines = await fill_lines(filled)
    await _remove(filled, CUSTOMERS, dead_letters=False)
    assert await _held(filled) == {SUPPLIERS: (2, 0, 0, 0)}
    assert await filled.client.hkeys(lines.length) == [SUPPLIERS.encode()]
    rows, *_ = await filled.call(lines.claim("t/1", 9, 60_000))
    assert [(row[0], row[1].partition(b"/")[2].decode()) for row in rows] == [(b"k0", SUPPLIERS), (b"k1", SUPPLIERS)]


async def test_what_runs_ends_by_itself(filled: Store) -> None:
    """An event that a worker has in hand stays in its line until that is done with it."""
    lines = await fill_lines(filled)
    rows, *_ = await filled.call(lines.claim("t/1", 1, 60_000))
    running = rows[0][1].partition(b"/")[2].decode()
    await _remove(filled, running, dead_letters=False)
    assert await filled.client.hget(lines.length, running) == b"1"


async def test_dead_letters_keep_what_the_lines_have_of_their_stream(filled: Store) -> None:
    """Where dead letters forbid the removal from a stream, its events stay in the lines; those of the others go."""
    await put_dead(filled, "gone")
    lines = await fill_lines(filled)
    await _remove(filled, dead_letters=False)
    assert await filled.client.hkeys(lines.length) == [CUSTOMERS.encode()]


async def test_one_stream_that_is_refused(filled: Store) -> None:
    """A stream of the wrong type does not keep the subscription on the others."""
    await filled.client.set(filled.keys.dead(SUPPLIERS, "sync"), "no stream")
    removed = await _remove(filled, dead_letters=True)
    assert list(removed.refused) == [SUPPLIERS]
    assert "WRONGTYPE" in removed.refused[SUPPLIERS]
    assert [holding.stream for holding in await holdings(filled, [CUSTOMERS], "sync")] == []


async def test_the_store_is_away(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be reached is an error, never a removal."""

    async def away(calls: Any) -> list[Any]:
        return [RedisConnectionError("away")] * len(calls)

    monkeypatch.setattr(filled, "run", away)
    with pytest.raises(StoreUnavailable):
        await _remove(filled, dead_letters=False)
    with pytest.raises(StoreUnavailable):
        await live_consumers(filled, ["sync"], 15)


async def test_who_lives(store: Store) -> None:
    """A consumer lives that was heard of within the lease, by the server's clock; of any number of subscriptions."""
    for name in ("x", "y"):
        await store.call(scripts.beat(store.keys.consumers(name), f"{name}1", 1000, judge=False))
    await store.client.zadd(store.keys.consumers("x"), {"signed off": 0, "dead": 1_700_000_000_000})
    assert await live_consumers(store, ["x", "y", "z"], 15) == {"x": ["x1"], "y": ["y1"], "z": []}
    assert await live_consumers(store, [], 15) == {}
