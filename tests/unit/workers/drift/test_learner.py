"""The learner: what it reads, what it reports, that one does it for all, and that it is quiet."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any
from unittest.mock import AsyncMock

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.filling import CUSTOMERS, FINANCIAL
from support.waiting import eventually

from config.settings import DriftSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.leases import LeaseLost, Taken
from workers.drift.learner import Learner
from workers.drift.metrics import DriftMetrics
from workers.drift.notebook import read_all
from workers.incidents import Incidents

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
SETTINGS = DriftSettings(learn=50, every=0.01)
DAY = 86_400.0


class Bench:
    """A store, and learners on it at a time that tests set."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.store = store
        self.client: Any = store.client
        self._catalogue = catalogue
        self.registry = CollectorRegistry()
        self.metrics = DriftMetrics(self.registry)
        self.now = 1_800_000_000.0
        self._number = 0
        self._learners: list[Learner] = []

    async def aclose(self) -> None:
        """End what learners wait for."""
        for learner in self._learners:
            await learner._news.aclose()

    def learner(self, settings: DriftSettings = SETTINGS, block: float = 0.01) -> Learner:
        """Return a learner."""
        given = (self.store, self._catalogue, settings, self.metrics)
        self._learners.append(Learner(*given, clock=lambda: self.now, block=block))
        return self._learners[-1]

    async def look(self, learner: Learner) -> None:
        """Have a learner look once, with its lease."""
        assert await learner.lease.take()
        await learner.look()

    async def send(
        self, number: int, change: Callable[[dict[str, Any]], object] = lambda _: None, stream: str = CUSTOMERS
    ) -> None:
        """Append notifications of two companies."""
        commands = []
        for _ in range(number):
            self._number += 1
            company = str(self._number % 2)
            item = {"id": f"e{self._number}", "companyId": company, "amount": 5, "name": "Anna Secret"}
            change(item)
            at = int(self.now * 1000) + self._number
            fields = {"id": f"e{self._number}", "raw": json.dumps(item), "event": json.dumps({"company_id": company})}
            pairs = [part for pair in fields.items() for part in pair]
            commands.append(("XADD", self.store.keys.events(stream), f"{at}-0", *pairs))
        await self.store.commands(commands)

    async def incidents(self) -> dict[str, str]:
        """Return what the incidents that last say, by subject."""
        return {one.subject: one.what for one in await Incidents(self.store).listed()}

    async def notices(self) -> list[tuple[str, bool]]:
        """Return the subjects of all notices, oldest first, and whether each says that it is over."""
        found = await Incidents(self.store).notices()
        return [(one.subject.rpartition(" ")[2], one.over is not None) for one in found[::-1]]

    def count(self, change: str) -> float:
        """Return how many changes of a kind were counted."""
        return self.registry.get_sample_value("event_router_drift_total", {"change": change}) or 0.0


@pytest.fixture
async def bench(store: Store, catalogue: Catalogue) -> AsyncIterator[Bench]:
    """Yield a bench."""
    bench = Bench(store, catalogue)
    yield bench
    await bench.aclose()


async def test_a_change_is_reported_once(bench: Bench) -> None:
    """A new field is an incident with its notice, counted, and kept with a sample whose values are masked."""
    learner = bench.learner()
    await bench.send(60)
    await bench.look(learner)
    assert await bench.incidents() == {}
    for _ in range(3):
        await bench.send(30, lambda item: item.update(region="north"))
        await bench.look(learner)
    assert await bench.incidents() == {f"{FINANCIAL} new region": f"{CUSTOMERS} has a new field region (text)."}
    assert await bench.notices() == [("region", False)]
    assert bench.count("new") == 1
    (report,) = (await read_all(bench.store))[CUSTOMERS].reports
    assert json.loads(report.sample)["region"] == "***"
    assert "Anna" not in json.dumps(list(map(str, (await bench.client.hgetall(bench.store.keys.schemas())).items())))
    assert report.event_id.startswith("e")


async def test_what_came_before_is_learnt_from(bench: Bench) -> None:
    """A learner that is new looks at what is in the stream already, the newest of it, oldest first."""
    await bench.send(100, lambda item: item.update(old=1))
    await bench.send(700)
    await bench.look(bench.learner())
    kept = (await read_all(bench.store))[CUSTOMERS]
    assert kept.schema.is_learnt(SETTINGS)
    assert "old" not in kept.schema.fields


async def test_of_much_the_newest_is_looked_at(bench: Bench) -> None:
    """However much comes, a bounded number is looked at, and none twice."""
    learner = bench.learner()
    await bench.send(60)
    await bench.look(learner)
    await bench.send(500)
    await bench.look(learner)
    assert (await read_all(bench.store))[CUSTOMERS].schema.events == 100
    await bench.look(learner)
    assert (await read_all(bench.store))[CUSTOMERS].schema.events == 100


async def test_another_goes_on(bench: Bench) -> None:
    """What one worker has learnt another goes on with, and says nothing twice; one without the lease writes nothing."""
    first, second = bench.learner(), bench.learner()
    await bench.send(60)
    await bench.look(first)
    await bench.send(30, lambda item: item.update(region="north"))
    await bench.look(first)
    await first.lease.give_up()
    await bench.look(second)
    await bench.send(30, lambda item: item.update(region="north"))
    with pytest.raises(LeaseLost):
        await first.look()
    await bench.look(second)
    assert await bench.notices() == [("region", False)]
    assert bench.count("new") == 1
    assert (await read_all(bench.store))[CUSTOMERS].schema.events == 110


async def test_a_missing_field_ends_when_it_is_back(bench: Bench) -> None:
    """The incident of a missing field is over when the field is back."""
    learner = bench.learner()
    await bench.send(60)
    await bench.look(learner)
    await bench.send(50, lambda item: item.pop("amount"))
    await bench.look(learner)
    assert await bench.incidents() == {
        f"{FINANCIAL} missing amount": f"{CUSTOMERS} has no value in the field amount (number) any more."
    }
    await bench.send(5)
    await bench.look(learner)
    assert await bench.incidents() == {}
    assert await bench.notices() == [("amount", False), ("amount", True)]


@pytest.mark.parametrize(("change", "days"), [("new", 1), ("missing", 7)])
async def test_a_change_belongs_to_the_type_in_time(bench: Bench, change: str, days: int) -> None:
    """A change that stays is over in the end, also where nothing more comes."""
    learner = bench.learner()
    await bench.send(60)
    await bench.look(learner)
    await bench.send(50, lambda item: item.update(region=1) if change == "new" else item.pop("amount"))
    await bench.look(learner)
    bench.now += (days - 0.1) * DAY
    await bench.look(learner)
    assert len(await bench.incidents()) == 1
    bench.now += 0.2 * DAY
    await bench.look(learner)
    assert await bench.incidents() == {}
    assert ("amount" in (await read_all(bench.store))[CUSTOMERS].schema.fields) is (change == "new")


async def test_what_changes_in_many_types_is_one_incident(bench: Bench) -> None:
    """A field that the sender adds to several types is one incident, which is over when it is for all of them."""
    learner = bench.learner()
    for stream in (CUSTOMERS, SUPPLIERS):
        await bench.send(60, stream=stream)
    await bench.look(learner)
    for stream in (CUSTOMERS, SUPPLIERS):
        await bench.send(50, lambda item: item.update(region=1), stream=stream)
    await bench.look(learner)
    (what,) = (await bench.incidents()).values()
    assert what.endswith("has a new field region (number); the same goes for 1 more of its types.")
    assert await bench.notices() == [("region", False)]
    assert bench.count("new") == 2
    bench.now += 1.1 * DAY
    await bench.look(learner)
    assert await bench.notices() == [("region", False), ("region", True)]


async def test_many_changes_of_a_type_are_bounded(bench: Bench) -> None:
    """Of one type no more than twenty changes last; those before are over."""
    learner = bench.learner()
    await bench.send(60)
    await bench.look(learner)
    await bench.send(50, lambda item: item.update({f"f{number}": 1 for number in range(40)}))
    await bench.look(learner)
    assert len(await bench.incidents()) == 20
    assert len((await read_all(bench.store))[CUSTOMERS].reports) == 20


async def test_entries_of_strangers(real_store: Store, catalogue: Catalogue) -> None:
    """What is no notification is passed over; a key of another type, or a state of another version, ends nothing."""
    bench = Bench(real_store, catalogue)
    await bench.client.set(bench.store.keys.events(SUPPLIERS), "no stream")
    await bench.client.hset(bench.store.keys.schemas(), mapping={CUSTOMERS: "{", SUPPLIERS: '{"schema": 5}'})
    await bench.client.xadd(bench.store.keys.events(CUSTOMERS), {"x": b"\xff"}, id="1-1")
    await bench.client.xadd(bench.store.keys.events(CUSTOMERS), {"raw": "[]", "event": "[" * 9000}, id="1-2")
    await bench.send(60)
    await bench.look(bench.learner())
    assert (await read_all(bench.store))[CUSTOMERS].schema.events == 50
    await bench.aclose()


async def test_one_of_all_learns(bench: Bench) -> None:
    """Of several workers one learns; when it ends another does, from where it was."""
    await bench.send(60)
    async with bench.learner() as first:
        await eventually(lambda: first.is_learning)
        async with bench.learner() as second:
            await eventually(lambda: _is_learnt(bench))
            assert first.is_learning
            assert not second.is_learning
    assert await bench.client.get(bench.store.keys.learning()) is None


async def _is_learnt(bench: Bench) -> bool:
    return CUSTOMERS in await read_all(bench.store)


async def test_a_store_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner survives everything, and begins again with what the store knows."""
    learner = bench.learner()
    await bench.send(60)
    await learner._turn()
    assert learner.is_learning

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("away") from RedisConnectionError("away")

    for error in (away, _breaks):
        with monkeypatch.context() as patch:
            patch.setattr(bench.store, "call", error)
            assert await learner._turn() > 1
        assert not learner.is_learning
        await learner._turn()
        assert learner.is_learning
    await learner.__aexit__()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("a fault of ours"), asyncio.CancelledError()])
async def test_it_keeps_no_lease_that_it_does_not_use(bench: Bench, error: BaseException) -> None:
    """Whatever its last turn came to, a learner that ends leaves the lease to another at once."""
    learner = bench.learner()
    with pytest.MonkeyPatch.context() as patch, suppress(asyncio.CancelledError):
        patch.setattr(learner, "look", AsyncMock(side_effect=error))
        await learner._turn()
    assert await bench.client.exists(bench.store.keys.learning())
    await learner.__aexit__()
    assert not await bench.client.exists(bench.store.keys.learning())


async def test_it_ends_no_lease_of_another(bench: Bench) -> None:
    """A learner that ends without the lease leaves it to the one that has it."""
    first, second = bench.learner(), bench.learner()
    assert await first.lease.take()
    await second._turn()
    await second.__aexit__()
    assert await first.lease.take() is Taken.STILL


async def _breaks(*_: Any, **__: Any) -> Any:
    raise ValueError("a fault of ours")


async def test_idle_is_quiet(real_store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing comes, one read waits over all streams: no stream is asked by itself."""
    bench = Bench(real_store, catalogue)
    commands: list[Any] = []
    run, several = real_store.call, real_store.commands

    async def call(asked: Any) -> Any:
        commands.append(asked)
        return await run(asked)

    async def together(asked: Any) -> Any:
        commands.extend(asked)
        return await several(asked)

    monkeypatch.setattr(real_store, "call", call)
    monkeypatch.setattr(real_store, "commands", together)
    learner = bench.learner(block=0.3)
    await learner._turn()
    commands.clear()
    await learner._turn()
    assert len(commands) == 2  # the lease, before and after
    waiting = asyncio.create_task(learner._turn())
    await bench.send(1)
    await waiting
    assert (await read_all(real_store))[CUSTOMERS].schema.events == 1
    await learner.__aexit__()
