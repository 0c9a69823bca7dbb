"""All figures of a running system, and how fast it goes."""

from dataclasses import replace
from typing import Any

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_events, put_group

from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreUnavailable
from workers.operations.figures import Figures, Rates, Row, figures, rates
from workers.operations.pauses import pause
from workers.state.overview import StreamOverview, SubscriptionOverview

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


async def _read(store: Store, count: int, *, finish: bool) -> None:
    key = store.keys.events(CUSTOMERS)
    reply = await store.client.execute_command("XREADGROUP", "GROUP", "sync", "w1", "COUNT", count, "STREAMS", key, ">")
    for entry_id, _ in reply[key.encode()] if finish else ():
        await store.client.execute_command("XACK", key, "sync", entry_id)


async def test_figures(store: Store, catalogue: Catalogue) -> None:
    """Each subscription has the sums over its streams, its workers, its pause, and the age of what is oldest."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_group(store, "audit")
    await put_events(store, "a", "b")
    await put_events(store, "c", stream=SUPPLIERS)
    await put_dead(store, "d")
    made = await pause(store, "audit", None, by="ann")
    await store.client.zadd(store.keys.consumers("sync"), {"w1": 9e15})
    found = await figures(store, catalogue, 15)
    audit, sync = found.rows
    assert (sync.name, sync.total("lag"), sync.total("dead"), sync.workers, sync.pause) == ("sync", 3, 1, ("w1",), None)
    assert set(sync.ways) == {CUSTOMERS, SUPPLIERS}
    assert (audit.total("lag"), audit.workers, audit.pause) == (2, (), made)
    assert sync.oldest is not None
    assert 0 <= sync.oldest < 60
    assert (found.total("lag"), found.total("dead")) == (5, 1)


async def test_nothing_waits(store: Store, catalogue: Catalogue) -> None:
    """Where nothing waits there is no oldest."""
    await put_group(store, "sync")
    (row,) = (await figures(store, catalogue, 15)).rows
    assert (row.total("lag"), row.oldest) == (0, None)


async def test_rates(store: Store, catalogue: Catalogue) -> None:
    """In is what came to the streams, out what was finished; what is only in hand is not out."""
    await put_group(store, "sync")
    await put_events(store, "a")
    await _read(store, 1, finish=True)
    before = await figures(store, catalogue, 15)
    await put_events(store, *"bcdefg")
    await _read(store, 3, finish=True)
    await _read(store, 2, finish=False)
    now = await figures(store, catalogue, 15)
    found = rates(replace(before, moment=10.0), replace(now, moment=12.0))
    assert found.streams[CUSTOMERS] == 3.0
    assert found.into == {"sync": 3.0}
    assert found.out == {"sync": 1.5}


def _figures(moment: float, lag: int, added: int | None, length: int = 0) -> Figures:
    row = Row("sync", {CUSTOMERS: SubscriptionOverview("sync", lag, 0, 0, 0)}, workers=("w1",))
    return Figures(moment, (StreamOverview(CUSTOMERS, length, (), added),), (row,))


@pytest.mark.parametrize(
    ("before", "now", "streams", "out"),
    [
        (_figures(0, 0, 1000), _figures(1, 0, 0), 0, 0),  # flushed
        (_figures(0, 0, None, 5), _figures(1, 0, 900, 9), 4, 4),  # known only now: no leap
        (_figures(0, 9, None, 5), _figures(1, 0, None, 0), 0, 4),  # trimmed
        (_figures(0, 5, 10), _figures(1, 500, 10), 0, 0),  # replayed
        (_figures(0, 5, 10), _figures(0, 5, 10), 0, 0),  # no time between
    ],
)
def test_odd_rates(before: Figures, now: Figures, streams: float, out: float) -> None:
    """No rate is negative, and none leaps because more is known than before."""
    found = rates(before, now)
    assert (found.streams[CUSTOMERS], found.out["sync"]) == (streams, out)


def test_what_is_new_has_no_rate() -> None:
    """A subscription or stream that was not there before has none yet."""
    assert rates(Figures(0, (), ()), _figures(1, 5, 10)) == Rates({}, {"sync": 0.0}, {})


async def test_cost(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many streams and subscriptions there are, it takes a handful of round trips."""
    for name in ("first", "second", "third"):
        await put_group(store, name, *catalogue.streams())
    await put_events(store, "a")
    trips: list[int] = []
    commands = store.commands

    async def counted(asked: Any) -> list[Any]:
        trips.append(len(asked))
        return await commands(asked)

    monkeypatch.setattr(store, "commands", counted)
    await figures(store, catalogue, 15)
    pairs = 3 * len(catalogue.streams())
    assert len(trips) <= 10
    assert sum(trips) <= 2 * len(catalogue.streams()) + 4 * pairs + 50


async def test_store_away(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away has no figures, and never zeros."""

    async def away(commands: Any) -> list[Any]:
        return [ConnectionError("refused")] * len(commands)

    monkeypatch.setattr(store, "commands", away)
    with pytest.raises(StoreUnavailable):
        await figures(store, catalogue, 15)
