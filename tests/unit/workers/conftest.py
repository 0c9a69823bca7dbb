"""A bench for the tests of consumers: with a key or without, as a subscription says."""

from collections.abc import AsyncIterator

import pytest
from support.keyed_bench import Bench

from router.events.catalogue import Catalogue
from router.store.client import Store


@pytest.fixture
async def bench(store: Store, catalogue: Catalogue) -> AsyncIterator[Bench]:
    """Yield a bench on each kind of store, and end at the end what still runs on it."""
    bench = Bench(store, catalogue)
    yield bench
    for consumer in list(bench.alive):
        await bench.stop(consumer)
