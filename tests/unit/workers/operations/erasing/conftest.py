"""Real stores whose bytes can be looked at, and the operations on them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.needles import NEEDLE, OTHER, TENANT, without_compression
from support.stores import real_store as on_real_server

from config.reconcile import ReconcileSettings
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.operations import Operations

SWEPT = ReconcileSettings(path="v1/customer", companies=(f"{TENANT}/{NEEDLE}", f"{TENANT}/{OTHER}"))


@pytest.fixture(params=["real", pytest.param("cluster", marks=pytest.mark.cluster)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Yield a real store: of a fake one nobody can see the bytes."""
    async with on_real_server(request.getfixturevalue(f"{request.param.replace('real', 'server')}_url")) as found:
        await without_compression(found)
        yield found


@pytest.fixture
def operations(store: Store, catalogue: Catalogue, tmp_path: Path) -> Operations:
    """Return the operations of the store, of a data directory and of an archive."""
    archive = tmp_path / "archive"
    archive.mkdir()
    settings = Settings(
        data_dir=tmp_path / "data",
        reconcile={"customers": SWEPT},
        redis={"url": "redis://elsewhere"},
        archive={"to": archive.as_uri()},
    )
    return Operations(store, catalogue, settings)
