"""A bench for the tests of consumers: with a key or without, as a subscription says."""

from collections.abc import AsyncIterator

import pytest
from support.keyed_bench import Bench

from router.events.catalogue import Catalogue
from router.store.client import Store


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers go on alone, as they do while their store is away, only then: not on a machine that is busy."""
    monkeypatch.setattr("workers.limits.asking._PATIENCE", 30.0)


@pytest.fixture
async def bench(store: Store, catalogue: Catalogue) -> AsyncIterator[Bench]:
    """Yield a bench on each kind of store, and end at the end what still runs on it."""
    bench = Bench(store, catalogue)
    yield bench
    for consumer in list(bench.alive):
        await bench.stop(consumer)
