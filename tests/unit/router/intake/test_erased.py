"""What was erased is not drained from a spool: it was received before, on a machine that nobody reached."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from support.filling import CUSTOMERS
from support.needles import NEEDLE, OTHER, left_in_files, plant_spool

from router.events.whose import Whose
from router.intake.drain import Drain
from router.intake.erased import Erased
from router.intake.erasures import Erasures
from router.intake.spool import Spool
from router.intake.writer import Batch
from router.store.client import Store
from router.store.errors import StoreRefused


@pytest.fixture
async def spool(store: Store, tmp_path: Path) -> AsyncIterator[Spool]:
    """Yield a spool that has taken over what was left of two companies."""
    for company in (NEEDLE, OTHER):
        plant_spool(store.keys, tmp_path, company)
    found = Spool.open(tmp_path, max_bytes=1_000_000)
    yield found
    await found.close()


async def _drained(store: Store, spool: Spool, erased: Erased) -> set[str]:
    """Drain a spool; return the ids of the events that are in the stream then."""
    drain = Drain(spool, Batch(store, window=60_000), Random(1), erased=erased)
    assert await drain.once()
    entries = await store.client.xrange(store.keys.events(CUSTOMERS))
    return {fields[b"id"].decode() for _, fields in entries}


OURS = {"spooled-4712-1", "spooled-4712-2"}
ALL = OURS | {"spooled-4711-1", "spooled-4711-2"}


async def test_nothing_that_was_erased_is_drained(store: Store, spool: Spool, tmp_path: Path) -> None:
    """An ingress looks what was erased before it drains, and takes that out; what is of others goes its way."""
    erasures = Erasures(store)
    await erasures.note(Whose(company=NEEDLE))
    assert await _drained(store, spool, Erased(erasures)) == OURS
    assert spool.entries == 0
    assert left_in_files(tmp_path, b"needle extra") == []


@pytest.mark.parametrize(
    ("whose", "expected"),
    [
        (Whose(company="4711"), ALL),
        (Whose(company=NEEDLE, tenant="tenant-1"), OURS),
        (Whose(company=NEEDLE, tenant="tenant-2"), ALL),
        (Whose(tenant="tenant-1"), set()),
        (Whose(company=NEEDLE, publisher="business-nxt"), ALL),
    ],
)
async def test_it_is_known_by_digest(store: Store, spool: Spool, whose: Whose, expected: set[str]) -> None:
    """The store keeps whose data went as digests alone, and these tell the same as the ids."""
    erasures = Erasures(store)
    await erasures.note(whose)
    (noted,) = await store.client.zrange(store.keys.erasures(), 0, -1)
    assert NEEDLE.encode() not in noted
    assert b"tenant-" not in noted
    assert await _drained(store, spool, Erased(erasures)) == expected


async def test_what_came_after_an_erasure_is_drained(store: Store, spool: Spool) -> None:
    """An erasure is about what was there: what a sender sends later is stored."""
    erasures = Erasures(store)
    await erasures.note(Whose(company=NEEDLE))
    (noted,) = await store.client.zrange(store.keys.erasures(), 0, -1)
    await store.client.zadd(store.keys.erasures(), {noted: 1_759_999_999_999})
    assert await _drained(store, spool, Erased(erasures)) == ALL


async def test_nothing_is_drained_while_it_is_not_known(
    store: Store, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not say what was erased is not given anything: it is tried again."""
    erased, answers = Erased(Erasures(store)), [RedisConnectionError("away")]
    commands = store.commands

    async def away(asked: list[tuple[object, ...]]) -> list[object]:
        return [*answers] if answers and asked[0][0] == "ZRANGEBYSCORE" else await commands(asked)

    monkeypatch.setattr(store, "commands", away)
    drain = Drain(spool, Batch(store, window=60_000), Random(1), erased=erased)
    assert not await drain.once()
    assert await store.client.exists(store.keys.events(CUSTOMERS)) == 0
    answers.clear()
    assert await drain.once()
    assert await store.client.xlen(store.keys.events(CUSTOMERS)) == len(ALL)


async def test_all_is_drained_where_the_server_forbids_to_look(
    store: Store, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With users of an earlier version nothing stays behind on the disk because of a right that they lack."""
    erasures = Erasures(store)

    async def refused() -> list[object]:
        raise StoreRefused("NOPERM")

    monkeypatch.setattr(erasures, "noted", refused)
    assert await _drained(store, spool, Erased(erasures)) == ALL
