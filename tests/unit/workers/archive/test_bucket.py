"""The archive in a bucket: against a server of S3."""

import asyncio
import socket
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest
from support.archiving import ArchiveBench, contents, days_ago, still
from support.filling import CUSTOMERS
from support.s3 import S3, running_s3
from support.stores import fake_store

from config.archive import ArchiveSettings
from router.events.catalogue import Catalogue
from router.store.keys import Keys
from workers.archive.archive import Archive, open_archive
from workers.archive.errors import ArchiveUnreachable, Damaged, Swept
from workers.archive.removing import remove_entries


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """Yield a server."""
    with running_s3() as server:
        yield server


def settings_of(s3: S3, bucket: str, **more: Any) -> ArchiveSettings:
    """Return the settings of an archive in a folder of a bucket."""
    keys = {"access_key": "key", "secret_key": "secret", "region": "eu-north-1", "timeout": 5}
    return ArchiveSettings(**{"to": f"s3://{bucket}/visma/events", "endpoint": s3.url, **keys, **more})


@pytest.fixture
def settings(s3: S3) -> ArchiveSettings:
    """Return the settings of an archive in a bucket of its own."""
    return settings_of(s3, s3.bucket())


@pytest.fixture
def archive(settings: ArchiveSettings) -> Archive:
    """Return that archive."""
    return open_archive(settings)


async def test_objects_are_kept_by_their_names(archive: Archive) -> None:
    """What was put is listed, read, replaced and removed; what is not there is no object."""
    place = archive.place
    await place.put("publisher=a/type=b/one", b"1" * 3_000_000, still)
    await place.put("publisher=a/type=c/two", b"22", still)
    assert sorted([(each.name, each.size) async for each in place.list()]) == [
        ("publisher=a/type=b/one", 3_000_000),
        ("publisher=a/type=c/two", 2),
    ]
    assert [each.name async for each in place.list("publisher=a/type=c")] == ["publisher=a/type=c/two"]
    with await place.open("publisher=a/type=b/one") as file:
        assert file.read() == b"1" * 3_000_000
        file.seek(0)
        assert file.read(2) == b"11"
    await place.put("publisher=a/type=c/two", b"333", still)
    with await place.open("publisher=a/type=c/two") as file:
        assert file.read() == b"333"
    await place.remove("publisher=a/type=c/two")
    await place.remove("publisher=a/type=c/two")
    assert [each.name async for each in place.list()] == ["publisher=a/type=b/one"]
    with pytest.raises(Damaged, match="not there any more"):
        await place.open("publisher=a/type=c/two")


async def test_what_is_swept_while_it_is_put_gets_no_name(archive: Archive) -> None:
    """An object is there under a name that no reader takes first; a sweep removes it, and what was there stays."""
    place = archive.place
    await place.put("publisher=a/type=b/one", b"old", still)
    listed: list[str] = []

    async def swept() -> None:
        listed.extend([each.name async for each in place.list()])
        await place.sweep()

    with pytest.raises(Swept):
        await place.put("publisher=a/type=b/one", b"new", swept)
    assert listed == ["publisher=a/type=b/one"]
    with await place.open("publisher=a/type=b/one") as file:
        assert file.read() == b"old"


@pytest.mark.long
async def test_more_objects_than_a_page(archive: Archive) -> None:
    """A list goes on over the pages of the server."""
    names = [f"{number:05}" for number in range(1005)]
    for first in range(0, len(names), 15):  # of more at once some would not be stored in time
        await asyncio.gather(*(archive.place.put(name, b"", still) for name in names[first : first + 15]))
    assert [each.name async for each in archive.place.list()] == names


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_events_go_there_before_they_are_trimmed(s3: S3, catalogue: Catalogue, form: str, tmp_path: Any) -> None:
    """Retention writes to the bucket, below the folder of the settings; a company is removed from there."""
    bucket = s3.bucket()
    settings = settings_of(s3, bucket, format=form)
    async with fake_store(Keys("er")) as store:
        bench = ArchiveBench(store, catalogue, tmp_path / "unused")
        bench.archive = open_archive(settings)
        ids = await bench.add(CUSTOMERS, days_ago(8), 20)
        await bench.round()
        assert await bench.ids(CUSTOMERS) == []
        assert await bench.archived() == ids
        listed = ET.fromstring(s3.ask("GET", f"/{bucket}"))
        (key,) = [each.text for each in listed.iter() if each.tag.endswith("}Key")]
        assert (key or "").startswith("visma/events/publisher=visma-net-financial/type=customer_changed/day=")
        removed = await remove_entries(bench.archive, store, lambda entry: entry.entry_id == ids[0])
        assert (removed.events, removed.objects, removed.skipped) == (1, 1, [])
        assert [entry.entry_id for entry in await contents(bench.archive.place)] == ids[1:]


async def test_objects_are_encrypted_as_the_settings_say(s3: S3) -> None:
    """The server is asked to encrypt what it keeps."""
    bucket = s3.bucket()
    archive = open_archive(settings_of(s3, bucket, encryption="aws:kms", kms_key="alias/archive"))
    await archive.place.put("one", b"1", still)
    assert s3.encryption(bucket, "visma/events/one") == ("aws:kms", "alias/archive")


async def test_a_bucket_that_is_not_there(s3: S3) -> None:
    """A bucket that does not exist is said in one line, which names it and holds no secret."""
    archive = open_archive(settings_of(s3, "nobodys", secret_key="hush-hush"))
    for call in (archive.place.put("one", b"1", still), anext(aiter(archive.place.list()))):
        with pytest.raises(ArchiveUnreachable) as error:
            await call
        assert str(error.value).startswith("s3://nobodys/visma/events: ")
        assert "\n" not in str(error.value)
        assert "hush-hush" not in str(error.value)


async def test_a_server_that_is_away(catalogue: Catalogue, tmp_path: Any) -> None:
    """A server that does not answer is away within the time-out, and what is due stays in its stream."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = ArchiveSettings(
        to="s3://b", endpoint=f"http://127.0.0.1:{port}", access_key="k", secret_key="s", timeout=0.3
    )
    async with fake_store(Keys("er")) as store:
        bench = ArchiveBench(store, catalogue, tmp_path / "unused")
        bench.archive = open_archive(away)
        ids = await bench.add(CUSTOMERS, days_ago(8))
        await bench.round()
        assert await bench.ids(CUSTOMERS) == ids
        assert "archive_failed" in [line["event"] for line in bench.log]
