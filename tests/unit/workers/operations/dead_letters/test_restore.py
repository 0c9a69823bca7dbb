"""Putting exported dead letters back."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_group

from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreUnavailable
from workers.operations.dead_letters import restore as dead_import
from workers.operations.dead_letters.letters import DeadLetters
from workers.operations.dead_letters.lines import ExportedLetter, line_of, read_line
from workers.operations.dead_letters.restore import BEFORE, NEW, REFUSED, THERE, Import
from workers.operations.dead_letters.selector import Selector

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


@pytest.fixture
async def importer(store: Store, catalogue: Catalogue) -> Import:
    """Return what imports into a store that has the subscriptions `sync` (two streams) and `audit`."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_group(store, "audit", CUSTOMERS)
    return Import(store, catalogue, tuple)


def letter(number: int = 0, stream: str = CUSTOMERS, subscription: str = "sync", **fields: bytes) -> ExportedLetter:
    """Return a dead letter that died at second `number`."""
    named = {name.encode(): value for name, value in fields.items()}
    return ExportedLetter(stream, subscription, f"{number}000-0", {b"id": b"e%d" % number, b"raw": b"\xff", **named})


async def _entries(store: Store, stream: str = CUSTOMERS, subscription: str = "sync") -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await store.client.xrange(store.keys.dead(stream, subscription))]


async def test_each_is_put_back_where_it_was(store: Store, importer: Import) -> None:
    """A dead letter goes to its stream and subscription, its fields in their order, with where it comes from."""
    letters = [letter(1), letter(2, SUPPLIERS), letter(3, subscription="audit"), letter(4)]
    assert await importer.restore(letters) == {NEW: 4}
    assert await _entries(store) == [
        {b"id": b"e1", b"raw": b"\xff", b"origin": b"1000-0"},
        {b"id": b"e4", b"raw": b"\xff", b"origin": b"4000-0"},
    ]
    assert len(await _entries(store, SUPPLIERS)) == len(await _entries(store, CUSTOMERS, "audit")) == 1


async def test_each_is_put_back_once(store: Store, importer: Import) -> None:
    """However often and by how many at once, and twice in one file: a dead letter is put back once."""
    letters = [letter(number) for number in range(250)] * 2
    counts = await asyncio.gather(*(importer.restore(letters) for _ in range(3)))
    assert sum(count[NEW] for count in counts) == 250
    assert sum(count[THERE] for count in counts) == 1250
    assert len(await _entries(store)) == 250


async def test_what_is_there_is_not_put_back(store: Store, importer: Import, catalogue: Catalogue) -> None:
    """A dead letter that never went away is recognised by its entry and its event."""
    await put_dead(store, "e1", entry_id="1000-0")
    [found] = [found async for found in DeadLetters(store, catalogue).newest(Selector())]
    assert await importer.restore([read_line(line_of(found))]) == {THERE: 1}
    other = ExportedLetter(CUSTOMERS, "sync", "1000-0", {b"id": b"another"})
    assert await importer.restore([other]) == {NEW: 1}
    assert await importer.restore([other]) == {THERE: 1}


async def test_what_is_gone_since(store: Store, importer: Import, catalogue: Catalogue) -> None:
    """What was put back and has gone since is put back again only when that is asked for."""
    await importer.restore([letter(1)])
    await store.client.delete(store.keys.dead(CUSTOMERS, "sync"))
    assert await importer.restore([letter(1)]) == {BEFORE: 1}
    again = Import(store, catalogue, tuple, again=True)
    assert await again.restore([letter(1)], dry=True) == {NEW: 1}
    assert await _entries(store) == []
    assert await again.restore([letter(1), letter(1)]) == {NEW: 1, THERE: 1}


async def test_what_was_put_back_is_forgotten_in_time(store: Store, importer: Import) -> None:
    """What is remembered does not stay for ever."""
    await importer.restore([letter(1)])
    left = await store.client.pttl(store.keys.restored(CUSTOMERS, "sync"))
    assert dead_import.REMEMBERED - 60_000 < left <= dead_import.REMEMBERED


async def test_a_dry_run_changes_nothing(store: Store, importer: Import) -> None:
    """A dry run says what would become of each."""
    await importer.restore([letter(1)])
    assert await importer.restore([letter(1), letter(2)], dry=True) == {THERE: 1, NEW: 1}
    assert len(await _entries(store)) == 1


async def test_a_letter_without_an_id(store: Store, importer: Import) -> None:
    """An entry that somebody wrote by hand without an id is put back once as well."""
    odd = ExportedLetter(CUSTOMERS, "sync", "5-5", {b"x": b"y"})
    assert await importer.restore([odd, odd]) == {NEW: 1, THERE: 1}
    assert await _entries(store) == [{b"x": b"y", b"origin": b"5-5"}]


async def test_large_letters(store: Store, importer: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones go in several calls, so that none blocks the server for long; one may be larger than a call."""
    monkeypatch.setattr(dead_import, "_MAX_BYTES", 1000)
    calls: list[int] = []
    run = store.run

    async def counted(sent: Any) -> list[Any]:
        calls.append(len(sent))
        return await run(sent)

    monkeypatch.setattr(store, "run", counted)
    assert await importer.restore([letter(n, more=b"x" * size) for n, size in enumerate((500, 400, 5000, 1))]) == {
        NEW: 4
    }
    assert calls[0] == 4
    assert len(await _entries(store)) == 4


async def test_as_many_fields_as_a_script_can_take(store: Store, importer: Import) -> None:
    """An entry with a thousand fields, which is the most a line may have, is put back whole."""
    many = ExportedLetter(CUSTOMERS, "sync", "5-5", {b"f%d" % number: b"v" for number in range(1000)})
    assert await importer.restore([many] * 2) == {NEW: 1, THERE: 1}
    assert len((await _entries(store))[0]) == 1001


async def test_obstacles(importer: Import) -> None:
    """A dead letter that nobody could find afterwards is not put back."""
    good = letter()
    assert await importer.obstacle(good) is None
    nobody = ExportedLetter(CUSTOMERS, "nobody", good.entry_id, good.fields)
    nowhere = ExportedLetter("acme/order_created", "sync", good.entry_id, good.fields)
    assert "no subscription 'nobody' exists" in (await importer.obstacle(nobody) or "")
    assert "no stream 'acme/order_created'" in (await importer.obstacle(nowhere) or "")


async def test_refused_and_away(store: Store, importer: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server refuses is counted with its words; a store that is away is an error."""
    await store.client.set(store.keys.dead(SUPPLIERS, "sync"), "no stream")
    assert await importer.restore([letter(1), letter(2, SUPPLIERS)]) == {NEW: 1, REFUSED: 1}
    assert "WRONGTYPE" in importer.result.refusal

    async def away(calls: Any) -> list[Any]:
        return [RedisConnectionError("reset")] * len(calls)

    monkeypatch.setattr(store, "run", away)
    with pytest.raises(StoreUnavailable, match="reset"):
        await importer.restore([letter(3)])
