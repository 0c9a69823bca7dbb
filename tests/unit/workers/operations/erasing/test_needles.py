"""Erasing a company leaves nothing of it anywhere, and everything of the others as it was."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.needles import (
    NEEDLE,
    OTHER,
    PLANTS,
    TENANT,
    kinds_of_keys,
    left_in_files,
    left_in_store,
    plant,
    plant_groups,
    plant_spool,
    without_compression,
)

from config.reconcile import ReconcileSettings
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.whose import Whose
from router.store.client import Store
from workers.operations.erasing.handing_out import handed_out
from workers.operations.operations import Operations

SWEPT = ReconcileSettings(path="v1/customer", companies=(f"{TENANT}/{NEEDLE}", f"{TENANT}/{OTHER}"))


@pytest.fixture(params=["real", pytest.param("cluster", marks=pytest.mark.cluster)])
async def store(request: pytest.FixtureRequest, real_store: Store) -> AsyncIterator[Store]:
    """Yield a real store: of a fake one nobody can see the bytes."""
    if request.param == "real":
        await without_compression(real_store)
        yield real_store
        return
    from support.stores import real_store as on_real_server  # noqa: PLC0415 - another of that name is a fixture

    async with on_real_server(request.getfixturevalue("cluster_url")) as found:
        await without_compression(found)
        yield found


@pytest.fixture
def operations(store: Store, catalogue: Catalogue, tmp_path: Path) -> Operations:
    """Return the operations of the store, and of a data directory."""
    settings = Settings(data_dir=tmp_path, reconcile={"customers": SWEPT}, redis={"url": "redis://elsewhere"})
    return Operations(store, catalogue, settings)


async def _fill(store: Store, folder: Path) -> None:
    await plant_groups(store)
    for company in (NEEDLE, OTHER):
        await plant(store, company)
        plant_spool(store.keys, folder / "spool", company)


async def _stored(operations: Operations, company: str) -> list[bytes]:
    return [handed_out(found) async for found in (await operations.stored_of(Whose(company=company))).found()]


def test_every_kind_of_key_is_planted() -> None:
    """A new kind of key comes with what puts something of a company into it, or with the word that nothing can be."""
    assert PLANTS.keys() == kinds_of_keys()


async def test_nothing_is_left(store: Store, operations: Operations, tmp_path: Path) -> None:
    """No key has a trace of it in its name or its bytes, and no file; what is of others is as it was."""
    await _fill(store, tmp_path)
    assert await left_in_store(store, b"needle")
    assert left_in_files(tmp_path, b"needle")
    before = await _stored(operations, OTHER)
    change = operations.erase(Whose(company=NEEDLE))
    change.patience = 0.0
    result = await change.run(actor="ann", reason="asked to")
    assert (result.failed, result.notes) == (0, [])
    assert await left_in_store(store, b"needle") == []
    assert left_in_files(tmp_path, b"needle") == []
    assert await _stored(operations, NEEDLE) == []
    assert await _stored(operations, OTHER) == before
