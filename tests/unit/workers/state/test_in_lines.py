"""How old the oldest event in the lines of a keyed subscription is, whatever its key waits for."""

import time

from support.filling import CUSTOMERS, put_group
from support.keyed import KeyedBench

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.keys.line_keys import KeySelector, LineKeys
from workers.operations.pauses import pause_company
from workers.state.in_lines import InLines, in_lines
from workers.state.key_counts import key_counts
from workers.state.oldest import oldest_waiting
from workers.state.overview import overview

_FIRST = 1_760_000_000_000
"""When the first event of a KeyedBench came; each further one came a second later."""
_ALL = KeySelector()


async def _lines(store: Store) -> InLines:
    return (await in_lines(store, ["sync"]))[CUSTOMERS, "sync"]


async def test_what_a_held_key_keeps_waiting_has_an_age(store: Store) -> None:
    """An event behind a dead letter waits since it came; no worker could handle it now."""
    bench = KeyedBench(store)
    await put_group(store, "sync")
    await bench.bring("e1", "e2")
    await bench.hold()
    assert await _lines(store) == InLines(1, 0, 0, None, _FIRST + 1000)
    waits = await oldest_waiting(store, await overview(store, [CUSTOMERS]), clock=lambda: _FIRST / 1000 + 61)
    assert waits[CUSTOMERS, "sync"] == (60.0, None)


async def test_what_waits_behind_a_retry_has_an_age(store: Store) -> None:
    """The event that is tried again waits on purpose; the next one of its key waits for it, since it came."""
    bench = KeyedBench(store)
    await bench.bring("e1", "e2")
    ((claim, ref, body),) = await bench.claim()
    assert await store.call(bench.lines.retry(claim, ref, body, 3_600_000)) == 1
    assert await _lines(store) == InLines(1, 0, 1, None, _FIRST + 1000)


async def test_a_paused_company_has_an_age(store: Store) -> None:
    """What a paused company keeps waiting has waited since it came; nobody has to hurry for it."""
    bench = KeyedBench(store)
    await bench.bring("e1")
    await bench.bring("e2", customer="2", company="8")
    await pause_company(store, "sync", "7", None, by="ann")
    assert await _lines(store) == InLines(2, 0, 0, _FIRST + 1000, _FIRST)


async def test_a_replay_makes_its_key_no_younger(store: Store, catalogue: Catalogue) -> None:
    """An event that is replayed stands before those that waited already: the oldest of the key is one of those."""
    bench = KeyedBench(store)
    await put_group(store, "sync")
    now = round(time.time() * 1000)
    entries = [f"{now - 3000}-0", f"{now - 2000}-0"]
    for entry in entries:
        await store.client.xadd(store.keys.events(CUSTOMERS), {"id": entry, "raw": "{}"}, id=entry)
    await bench.bring_stored(entries[1])
    await bench.bring_stored(entries[0], again=f"{now - 10}-0")
    await bench.claim(room=1)
    await store.call(bench.lines.abandon("w1/", charged=False))
    assert (await _lines(store)).oldest == now - 2000
    (key,) = [key async for key in LineKeys(store, catalogue, "sync").select(_ALL)]
    assert key.first_id == entries[0]
    assert key.oldest_at is not None
    assert round(key.oldest_at.timestamp() * 1000) == now - 2000
    counts = (await key_counts(store, ["sync"]))["sync"]
    assert counts.oldest is not None
    assert counts.oldest >= 2.0


async def test_what_a_limit_keeps_waiting(store: Store, catalogue: Catalogue) -> None:
    """A key that waits since its company has as many handlers as it may, says so; others do not."""
    bench = KeyedBench(store)
    await bench.bring("e1")
    await bench.bring("e2", customer="2")
    await bench.bring("e3", customer="3", company="8")
    await store.call(bench.lines.resign("mover"))
    await store.call(bench.lines.lead("mover", 60_000, per_company=1))
    rows, *_ = await store.call(bench.lines.claim("w1/run/1", 1, 60_000, per_company=1))
    assert len(rows) == 1
    keys = {key.first_id: key async for key in LineKeys(store, catalogue, "sync").select(_ALL)}
    assert {id_: (key.state, key.limit) for id_, key in keys.items()} == {
        "e1": ("running", 1),
        "e2": ("ready", 1),
        "e3": ("ready", None),
    }
