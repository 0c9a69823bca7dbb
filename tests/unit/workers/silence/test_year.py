"""Traffic of many senders in virtual time: the watcher is seldom wrong, and says in time who breaks off."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from types import ModuleType
from typing import Any

import pytest
from support.silence import SilenceBench
from support.stores import fake_store

from config.silence import SilenceSettings
from router.events.catalogue import Catalogue
from router.ingress.traffic import TrafficNotes
from router.store.watched.traffic import Hour
from workers.silence.ledger import Ledger

BENCHMARKS = Path(__file__).parents[4] / "benchmarks"


@pytest.fixture(scope="module")
def silence() -> Iterator[tuple[ModuleType, ModuleType]]:
    """Yield what makes the traffic and what replays it, which are found by the folder they are in."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from silence import replay, year  # noqa: PLC0415 - only there while this is in the path

        yield year, replay
    finally:
        sys.path.remove(str(BENCHMARKS))


def check(found: Any, of_publishers: int, of_companies: int) -> None:
    """Assert that so many false alarms at most were said, and how late true ones were."""
    false = [subject for month in found.false.values() for subject in month]
    assert sum("/" not in subject for subject in false) <= of_publishers
    assert sum("/" in subject for subject in false) <= of_companies
    assert not any(found.unseen.get(kind) for kind in found.delays if kind.startswith(("publisher", "shop", "nightly")))
    assert median(found.delays["publisher `many`"]) <= 24
    assert median(found.delays["publisher `single`"]) <= 72


def test_some_months(silence: tuple[ModuleType, ModuleType]) -> None:
    """In four months, Easter among them, of a few companies none or few are named that have not stopped."""
    check(silence[1].replay(2026, 3, many=12, trials=12, days=120), of_publishers=1, of_companies=3)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_a_year(silence: tuple[ModuleType, ModuleType], seed: int) -> None:
    """In a year of a hundred companies no more are named than docs/silence.md says."""
    found = silence[1].replay(2026, seed, many=100, trials=40)
    check(found, of_publishers=3, of_companies=45)
    quiet = [len([one for one in found.false[month] if "/" in one]) for month in (2, 3, 4, 5, 6, 8, 9, 10, 11)]
    assert sum(quiet) <= 2 * len(quiet)


@pytest.mark.long
async def test_the_watcher_says_what_the_ledger_finds(
    silence: tuple[ModuleType, ModuleType], catalogue: Catalogue
) -> None:
    """Through ingresses that note, a store, and a watcher that loses its lease each week, the same is said."""
    year, random = silence[0], Random(5)
    members = [one for one in year.companies(2026, random, 10) if one.publisher == "many"]
    traffic = list(islice(year.hours(members, 2026, random, {}, before=40), 60 * 24))
    broken = {one.subject for one in members if one.habit is year.shop and one.starts.year < 2026}
    ledger, expected = Ledger(SilenceSettings(), traffic[0][0]), set[str]()
    async with fake_store() as store:
        bench = SilenceBench(store, catalogue, now=traffic[0][0] * 3600.0 - 600)
        bench.notes = TrafficNotes(bench.traffic, store, "ingress-1", every=3600, clock=lambda: bench.now)
        watcher = bench.watcher()
        await bench.pass_time(400, watcher, every=200)
        for number, (hour, came) in enumerate(traffic):
            left = {name: one for name, one in came.came.items() if number < 42 * 24 or name not in broken}
            ledger.fold(Hour(left, came.slots))
            expected |= {one.subject for one in ledger.silences(0, Hour())}
            for name, one in left.items():
                publisher, slash, company = name.partition("/")
                if slash:
                    bench.traffic.came(publisher, [company], [True], one.last)
            bench.sleep((hour + 1) * 3600.0 - 1 - bench.now)
            await bench.notes.note()
            bench.sleep(200)
            await watcher.look()
            if number % 168 == 0:
                await bench.store.command("DEL", store.keys.watching())
        said = {subject for kind, subject, over in await bench.said() if kind == "silence" and not over}
    assert broken
    assert broken <= expected
    assert said == expected
