"""A bench for the watcher: a store, a clock that tests set, ingresses that note and workers that watch."""

from collections.abc import AsyncIterator

import pytest
from support.silence import SilenceBench
from support.stores import fake_store

from router.events.catalogue import Catalogue


@pytest.fixture
async def bench(catalogue: Catalogue) -> AsyncIterator[SilenceBench]:
    """Yield a bench on the fake store."""
    async with fake_store() as store:
        yield SilenceBench(store, catalogue)
