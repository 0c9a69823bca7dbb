"""Erasing a company leaves nothing of it anywhere, and everything of the others as it was."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.needles import (
    NEEDLE,
    OTHER,
    PLANTS,
    kinds_of_keys,
    left_in_files,
    left_in_store,
    plant,
    plant_archive,
    plant_groups,
    plant_spool,
)

from router.events.whose import Whose
from router.store.client import Store
from workers.archive.archive import open_archive
from workers.operations.erasing.handing_out import handed_out
from workers.operations.operations import Operations

OURS = Whose(company=NEEDLE)
STEPS = 10_000


class Killed(BaseException):
    """What a process that was killed does not live to see."""


async def _fill(operations: Operations) -> None:
    store, settings = operations.store, operations.settings
    await plant_groups(store)
    for company in (NEEDLE, OTHER):
        await plant(store, company)
        plant_spool(store.keys, settings.data_dir / "spool", company)
    await plant_archive(open_archive(settings.archive), NEEDLE, OTHER)


async def _stored(operations: Operations, company: str) -> list[bytes]:
    walk = await operations.stored_of(Whose(company=company))
    return sorted([handed_out(found) async for found in walk.found()])  # a Cluster names its keys in any order


async def _erase(operations: Operations) -> Counter[str]:
    change = operations.erase(OURS)
    change.patience = 0.0
    result = await change.run(actor="ann", reason=f"{NEEDLE} asked to")
    assert result.notes == []
    return result.counts


async def _nothing_is_left(operations: Operations, folder: Path) -> None:
    assert await left_in_store(operations.store, b"needle") == []
    assert left_in_files(folder, b"needle") == []
    assert await _stored(operations, NEEDLE) == []


def test_every_kind_of_key_is_planted() -> None:
    """A new kind of key comes with what puts something of a company into it, or with the word that nothing can be."""
    assert PLANTS.keys() == kinds_of_keys()


async def test_nothing_is_left(store: Store, operations: Operations, tmp_path: Path) -> None:
    """No key has a trace of it in its name or its bytes, and no file; what is of others is as it was."""
    await _fill(operations)
    assert await left_in_store(store, b"needle")
    assert left_in_files(tmp_path / "data", b"needle")
    before, found = await _stored(operations, OTHER), await _stored(operations, NEEDLE)
    counts = await _erase(operations)
    assert (counts["changed"], counts["failed"]) == (len(found), 0)
    await _nothing_is_left(operations, tmp_path)
    assert await _stored(operations, OTHER) == before
    assert (await _erase(operations))["changed"] == 0  # repeating is safe, and finds nothing
    assert await _stored(operations, OTHER) == before


async def test_the_audit_keeps_that_it_was_done(operations: Operations) -> None:
    """Who did it, when and with which counts; whose data it was as a digest, by which nobody reads the id."""
    await _fill(operations)
    counts = await _erase(operations)
    (line,) = [line async for line in operations.audit(verb="erase")]
    assert (line.actor, line.reason) == ("ann", "erased asked to")
    assert (line.matched, line.changed, line.failed) == (counts["changed"], counts["changed"], 0)
    assert line.selector == OURS.describe()
    assert NEEDLE not in json.dumps(line.selector)
    (other,) = [line async for line in operations.audit(verb="dlq purge") if "erased" in line.reason]
    assert other.selector == {"company": "erased", "text": "x erased y"}
    assert (other.subject, other.actor, other.reason) == ("erased", "ann erased", "as erased asked")


async def test_all_that_is_found_is_handed_out(operations: Operations) -> None:
    """An export has a line for each thing that an erasure takes, with its place, and reads only."""
    await _fill(operations)
    before = await left_in_store(operations.store, b"needle")
    lines = [json.loads(line) for line in await _stored(operations, NEEDLE)]
    assert await left_in_store(operations.store, b"needle") == before
    change = operations.erase(OURS)
    seen = await change.preview()
    assert Counter(line["place"] for line in lines) == seen.kinds
    assert seen.kinds.keys() == {place.name for place in (await operations.stored_of(OURS)).places}
    assert all(NEEDLE in json.dumps(line["fields"]) or "needle" in json.dumps(line) for line in lines)
    assert {line.get("company", NEEDLE) for line in lines} == {NEEDLE}


async def _killed_at(store: Store, step: int, work: Callable[[], Any]) -> bool:
    """Do something until so many commands were sent or answered; return whether it was killed then."""
    passed = 0

    def dying(method: Any) -> Any:
        async def run(*given: Any, **options: Any) -> Any:
            nonlocal passed
            passed += 1
            if passed >= step:
                raise Killed
            reply = await method(*given, **options)
            passed += 1
            if passed >= step:
                raise Killed
            return reply

        return run

    names = ("command", "commands", "call", "run")
    kept = {name: getattr(store, name) for name in names}
    for name, method in kept.items():
        setattr(store, name, dying(method))
    try:
        await work()
    except Killed:
        return True
    finally:
        for name in kept:
            delattr(store, name)
    return False


async def _clear(store: Store) -> None:
    async for key in store.client.scan_iter(match="*", count=1000):
        if store.keys.prefix.encode() in key:
            await store.client.delete(key)


@pytest.mark.parametrize(
    "steps",
    [
        range(3, STEPS, 211),
        pytest.param(range(1, STEPS, 37), marks=pytest.mark.long),
        pytest.param(range(1, STEPS, 5), marks=pytest.mark.campaign),
    ],
    ids=["some", "many", "most"],
)
async def test_it_can_be_killed_at_every_step(operations: Operations, tmp_path: Path, steps: range) -> None:
    """Wherever it is killed, the next one takes what is left, and nothing of others is lost or there twice."""
    store = operations.store
    for step in steps:
        await _fill(operations)
        before = await _stored(operations, OTHER)
        was_killed = await _killed_at(store, step, lambda: _erase(operations))
        await store.client.delete(store.keys.erasing(), store.keys.archiving())  # both end by themselves
        await asyncio.sleep(0)
        await _erase(operations)
        await _nothing_is_left(operations, tmp_path)
        assert await _stored(operations, OTHER) == before, step
        await _clear(store)
        for file in [*(tmp_path / "data").rglob("*.db*"), *(tmp_path / "archive").rglob("*.gz")]:
            file.unlink()
        if not was_killed:
            return
    raise AssertionError("it never came to its end")
