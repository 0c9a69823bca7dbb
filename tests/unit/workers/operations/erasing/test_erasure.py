"""What an erasure takes, what it leaves, and what it does where it cannot do all."""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_group, put_quarantined
from support.needles import (
    NEEDLE,
    OTHER,
    fields_of,
    left_in_files,
    left_in_store,
    plant,
    plant_groups,
    plant_spool,
    without_compression,
)

from config.settings import Settings
from router.embedded.access import open_store
from router.events.catalogue import Catalogue
from router.events.whose import Whose
from router.intake.entry import Entry
from router.intake.spool_file import SpoolFile
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.leases import Lease
from workers.operations.audit import Deed, lines, record
from workers.operations.erasing.alone import ErasureOvertaken, ErasureUnderWay
from workers.operations.erasing.compacting import Compacting
from workers.operations.erasing.erasure import Erasure, NobodyNamed
from workers.operations.erasing.found import LEFT, Found
from workers.operations.erasing.quarantine import Bodies
from workers.operations.operations import Operations


async def _ids(store: Store) -> list[str]:
    entries = await store.client.xrange(store.keys.events(CUSTOMERS))
    return [fields[b"id"].decode() for _, fields in entries]


async def _put(store: Store, id_: str, tenant: str, company: str, **more: str) -> None:
    raw = {"event": "customer_changed", "notificationId": id_, "contextId": company, "tenantId": tenant, **more}
    await store.client.xadd(store.keys.events(CUSTOMERS), {"id": id_, "at": 1, "raw": json.dumps(raw)})


async def test_a_company_of_one_tenant(store: Store, operations: Operations) -> None:
    """A company is meant in all tenants, as the preview says; --tenant narrows it to one."""
    await put_group(store, "sync")
    for id_, tenant, company in (("a", "t1", "51"), ("b", "t2", "51"), ("c", "t1", "52")):
        await _put(store, id_, tenant, company)
    seen = await operations.erase(Whose(company="51")).preview()
    assert seen.owners == {("t1", "51"): 1, ("t2", "51"): 1}
    assert (await operations.erase(Whose(company="51", tenant="t2")).run()).changed == 1
    assert await _ids(store) == ["a", "c"]
    assert (await operations.erase(Whose(tenant="t1")).run()).changed == 2


async def test_what_only_looks_like_it_stays(store: Store, operations: Operations) -> None:
    """An id as the number of a record, in a field of another company's event or in a sentence is not the company."""
    await put_group(store, "sync")
    await _put(store, "a", "t1", "52", relativeResourceUri="v1/customer/51", note="51", customer="51")
    await put_quarantined(store, b'{"contextId": "52", "note": "51"}')
    await record(store, Deed("dlq purge", "sync", {"ids": ["x"]}, "51 of them"), {})
    assert (await operations.erase(Whose(company="51")).run()).changed == 0
    assert await _ids(store) == ["a"]


async def test_a_body_of_several_companies(store: Store, operations: Operations) -> None:
    """What is of others in a quarantined body stays, once, however often this is repeated; a torn one goes whole."""
    mixed = b'[{"contextId": "51", "a": 1}, {"contextId": "52", "b": 2},{"c": 3}]'
    await put_quarantined(store, mixed)
    await put_quarantined(store, b'[{"contextId": "51"}, {"contextId": "52"')
    for _ in range(2):
        assert (await operations.erase(Whose(company="51")).run()).failed == 0
    entries = await store.client.xrange(store.keys.quarantine(FINANCIAL))
    assert [fields[b"raw"] for _, fields in entries] == [b'[{"contextId": "52", "b": 2},{"c": 3}]']


async def test_bodies_of_any_form(store: Store, operations: Operations) -> None:
    """What names a company in XML, a form, another encoding, compressed or in a text is handed out and erased.

    In the quarantine as in a spool file; company 77 is not company 7, and of a list what is of others stays.
    """

    def bodies(company: int) -> list[bytes]:
        body = f'{{"contextId": "{company}", "n": 1}}'
        return [
            gzip.compress(body.encode(), mtime=0),
            body.encode("utf-16"),
            json.dumps({"data": body}).encode(),
            f"<event><contextId>{company}</contextId></event>".encode(),
            f"companyId={company}&n=1".encode(),
        ]

    file = SpoolFile.claim(operations.settings.data_dir / "spool")
    quarantine = store.keys.quarantine(FINANCIAL)
    try:
        for number, raw in enumerate([*bodies(7), *bodies(77)]):
            await put_quarantined(store, raw)
            file.add([Entry(quarantine, store.keys.seen(FINANCIAL, str(number)), ("id", str(number), "raw", raw), 9)])
    finally:
        file.close()
    walk = await operations.stored_of(Whose(company="7"))
    assert Counter([found.place.name async for found in walk.found()]) == {"quarantine": 5, "spool": 5}
    await put_quarantined(store, '[{"contextId": "7"},{"contextId": "77"}]'.encode("utf-16"))
    result = await operations.erase(Whose(company="7")).run()
    assert (result.changed, result.failed) == (11, 0)
    walk = await operations.stored_of(Whose(company="77"))
    left = [found async for found in walk.found()]
    assert Counter(found.place.name for found in left) == {"quarantine": 6, "spool": 5}
    assert await store.client.xlen(quarantine) == 6
    assert [found.content[b"raw"] for found in left][-6:] == [*bodies(77), b'[{"contextId": "77"}]']


async def test_what_is_masked_is_what_was_read(store: Store, operations: Operations) -> None:
    """What others wrote since, is not overwritten, and what they removed does not come back."""
    whose, forwards = Whose(company="company-51"), store.keys.forwards()
    for name in ("same", "newer", "gone"):
        await store.client.hset(forwards, name, "no company-51, no company-52")
    walk = await operations.stored_of(whose)
    items = [found async for found in walk.found()]
    await store.client.hset(forwards, "newer", "no company-51, no erased")
    await store.client.hdel(forwards, "gone")
    assert await items[0].place.erase(items) == {"changed": 1, LEFT: 1}
    masked, newer = b"no erased, no company-52", b"no company-51, no erased"
    assert await store.client.hgetall(forwards) == {b"same": masked, b"newer": newer}
    await operations.erase(whose).run()
    assert (await store.client.hgetall(forwards))[b"newer"] == b"no erased, no erased"


async def test_one_at_a_time(store: Store, operations: Operations) -> None:
    """Two would write the same streams again; the second is refused, and goes once the first has ended."""
    another = Lease(store, store.keys.erasing(), 60)
    assert await another.take()
    with pytest.raises(ErasureUnderWay, match="another erasure"):
        await operations.erase(Whose(company="51")).run()
    await another.give_up()
    await operations.erase(Whose(company="51")).run()
    assert await store.client.exists(store.keys.erasing()) == 0


async def test_one_that_was_held_up_ends_and_brings_back_nothing(store: Store, operations: Operations) -> None:
    """An erasure that was stopped for longer than its lease, while another ran, ends with an error that says so.

    What it was about to write has the other's company in it, which stays erased.
    """
    body = b'[{"contextId": "51"},{"contextId": "52"},{"contextId": "53"}]'
    await put_quarantined(store, body)
    first, second = operations.erase(Whose(company="51")), operations.erase(Whose(company="52"))
    erase = Bodies.erase

    async def stopped(self: Bodies, items: Sequence[Found]) -> Counter[str]:
        monkeypatch.undo()
        await store.command("DEL", store.keys.erasing())  # it ends by itself
        assert (await second.run()).changed == 1
        return await erase(self, items)

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(Bodies, "erase", stopped)
    with pytest.raises(ErasureOvertaken, match="repeat"):
        await first.run()
    raws = [fields[b"raw"] for _, fields in await store.client.xrange(store.keys.quarantine(FINANCIAL))]
    assert raws == [b'[{"contextId": "51"},{"contextId": "53"}]']
    assert "held up" in " ".join([line.error async for line in lines(store)])
    assert (await operations.erase(Whose(company="51")).run()).failed == 0


def test_it_never_takes_everything(operations: Operations) -> None:
    """Somebody has to be named."""
    with pytest.raises(NobodyNamed):
        operations.erase(Whose(publisher=FINANCIAL))


async def test_a_server_without_room(store: Store, operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot copy a stream, the entries are gone, and it is said that their bytes may still be there."""
    await put_group(store, "sync")
    await _put(store, "a", "t1", "51")
    await _put(store, "b", "t1", "52")

    async def refuse(self: Compacting, key: str, replaced: object = None) -> bool:
        raise StoreRefused("OOM command not allowed")

    monkeypatch.setattr(Compacting, "compact", refuse)
    result = await operations.erase(Whose(company="51")).run()
    assert await _ids(store) == ["b"]
    assert (result.changed, result.failed > 0) == (1, True)
    assert any("OOM" in note and "bytes" in note for note in result.notes)


async def test_an_archive_that_is_away(operations: Operations, store: Store, tmp_path: Path) -> None:
    """It keeps nobody from erasing the rest, and the erasure says that it has to be repeated."""
    await put_group(store, "sync")
    await _put(store, "a", "t1", "51")
    (tmp_path / "archive").rmdir()
    change: Erasure = operations.erase(Whose(company="51"))
    assert (await change.preview()).number == 1
    assert change.unreachable
    result = await change.run()
    assert (result.changed, result.failed) == (1, 1)
    assert "archive" in result.notes[0]
    assert await _ids(store) == []


async def test_a_spool_that_cannot_be_read(operations: Operations, store: Store, tmp_path: Path) -> None:
    """A file of another form is no spool; one that this user cannot read is named, and the rest goes all the same."""
    await put_group(store, "sync")
    await _put(store, "a", "t1", "51")
    folder = tmp_path / "data" / "spool"
    folder.mkdir(parents=True)
    (folder / "0.db").write_bytes(b"no database" * 1000)
    (folder / "1.db").mkdir()
    change: Erasure = operations.erase(Whose(company="51"))
    assert (await change.preview()).number == 1
    assert "1.db" in change.unreachable["spool"]
    result = await change.run()
    assert (result.changed, result.failed) == (1, 1)
    assert "1.db" in result.notes[0]


async def test_the_files_of_the_embedded_server(catalogue: Catalogue, tmp_path: Path) -> None:
    """Its append-only file has every command that it was ever given: it is written again, and nothing is left in it."""
    settings = Settings(data_dir=tmp_path, redis={"url": "embedded"})
    async with open_store(settings) as store:
        await without_compression(store)
        await plant_groups(store)
        for company in (NEEDLE, OTHER):
            await plant(store, company)
            plant_spool(store.keys, tmp_path / "spool", company)
        await store.client.xadd(store.keys.events(CUSTOMERS), fields_of(NEEDLE, "unread"))
        assert left_in_files(tmp_path, b"needle")
        change = Operations(store, catalogue, settings).erase(Whose(company=NEEDLE))
        change.patience = 0.0
        result = await change.run()
        assert (result.failed, result.notes) == (0, [])
    assert left_in_files(tmp_path, b"needle") == []


async def test_left_is_what_the_next_one_takes(store: Store, operations: Operations) -> None:
    """A step that the server refuses counts as failed, and repeating takes what is left."""
    await put_group(store, "sync")
    await _put(store, "a", "t1", "51")
    await store.client.set(store.keys.quarantine(FINANCIAL), "edited manually")
    result = await operations.erase(Whose(company="51")).run()
    assert (result.changed, result.failed) == (1, 0)
    assert await left_in_store(store, b'"51"') == []
