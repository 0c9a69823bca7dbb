"""Reading the archive: in the order of acceptance, each event once, and never half of an object."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.archiving import contents, still
from support.filling import CUSTOMERS, FINANCIAL
from support.stores import fake_store

from config.archive import ArchiveSettings
from router.store.keys import Keys
from router.store.leases import Lease
from router.store.reading import Span, order_of
from workers.archive import removing
from workers.archive.archive import Archive, open_archive
from workers.archive.line import Archived
from workers.archive.name import Bounds, ObjectName
from workers.archive.reading import Reading, Skipped
from workers.archive.removing import ArchiveBusy, archived_entries, remove_entries

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
STREAMS = (CUSTOMERS, SUPPLIERS)
ALL = {stream: Bounds.of(Span()) for stream in STREAMS}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Return an empty archive."""
    return open_archive(ArchiveSettings(to=tmp_path.as_uri()))


def entry(stream: str, millis: int, number: int = 0, company: str = "51") -> Archived:
    """Return an entry that came at this time."""
    return Archived(
        stream,
        f"{millis}-{number}",
        {b"id": b"e%d-%d" % (millis, number), b"raw": b'{"company":"%s"}' % company.encode()},
    )


async def put(archive: Archive, *entries: Archived, suffix: str = "jsonl.gz") -> ObjectName:
    """Write an object."""
    writer = archive.writer(suffix)
    writer.add(entries)
    name = ObjectName(entries[0].stream, entries[0].entry_id, entries[-1].entry_id, suffix)
    await archive.place.put(str(name), writer.finish(), still)
    return name


async def read(archive: Archive, spans: Any = None, skipped: list[Skipped] | None = None) -> list[Archived]:
    """Read all of it."""
    reading = Reading(archive, (skipped if skipped is not None else []).append)
    return [found async for found in reading.entries(ALL if spans is None else spans)]


async def test_events_come_in_the_order_of_their_acceptance(archive: Archive) -> None:
    """Over streams, days and forms the older event comes first; of one time that of the first stream."""
    await put(archive, entry(CUSTOMERS, 1), entry(CUSTOMERS, 5), entry(CUSTOMERS, 9))
    await put(archive, entry(SUPPLIERS, 2), entry(SUPPLIERS, 5), entry(SUPPLIERS, 5, 1), suffix="parquet")
    await put(archive, entry(CUSTOMERS, 10), entry(CUSTOMERS, 86_399_999))
    await put(archive, entry(SUPPLIERS, 86_400_000))
    found = [(one.entry_id, one.stream) for one in await read(archive)]
    assert found == [
        ("1-0", CUSTOMERS),
        ("2-0", SUPPLIERS),
        ("5-0", CUSTOMERS),
        ("5-0", SUPPLIERS),
        ("5-1", SUPPLIERS),
        ("9-0", CUSTOMERS),
        ("10-0", CUSTOMERS),
        ("86399999-0", CUSTOMERS),
        ("86400000-0", SUPPLIERS),
    ]


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(STREAMS), st.sets(st.integers(0, 40), min_size=1)),
        max_size=8,
    ),
    first=st.integers(0, 40),
    last=st.integers(0, 40),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_however_objects_overlap_each_event_comes_once(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, set[int]]], first: int, last: int
) -> None:
    """Whatever is in how many objects, an event within the span comes once, and in order."""
    archive = open_archive(ArchiveSettings(to=tmp_path_factory.mktemp("archive").as_uri()))
    wanted = set[tuple[str, int]]()
    for stream, millis in parts:
        name = ObjectName(stream, f"{min(millis)}-0", f"{max(millis)}-0", "jsonl.gz")
        if str(name) in {stored.name async for stored in archive.place.list()}:
            continue
        await put(archive, *(entry(stream, at) for at in sorted(millis)))
        wanted |= {(stream, at) for at in millis if first <= at <= last}
    found = await read(archive, {stream: Bounds.of(Span(str(first), str(last))) for stream in STREAMS})
    assert len(found) == len(wanted)
    assert {(one.stream, order_of(one.entry_id)[0]) for one in found} == wanted
    assert all(order_of(a.entry_id) <= order_of(b.entry_id) for a, b in pairwise(found))


async def test_what_is_damaged_is_named_and_left_out_as_a_whole(archive: Archive, tmp_path: Path) -> None:
    """Of an object that is cut off, edited, renamed or somebody else's nothing is read; it is named once."""
    good = await put(archive, entry(CUSTOMERS, 1))
    cut = await put(archive, *(entry(CUSTOMERS, at) for at in range(10, 2000)))
    path = tmp_path / str(cut)
    path.write_bytes(path.read_bytes()[:-5])
    renamed = await put(archive, entry(CUSTOMERS, 3000), entry(CUSTOMERS, 3001))
    other = ObjectName(CUSTOMERS, "3002-0", "3003-0", "jsonl.gz")
    (tmp_path / str(renamed)).rename(tmp_path / str(other))
    foreign = tmp_path / str(good).replace("1-0_1-0.jsonl.gz", "notes.txt")
    foreign.write_text("mine")
    skipped = list[Skipped]()
    reading = Reading(archive, skipped.append)
    for _ in range(2):
        assert [one.entry_id async for one in reading.entries(ALL)] == ["1-0"]
    told = {each.name: each.why for each in skipped}
    assert len(skipped) == len(told) == 3
    assert told[str(foreign.relative_to(tmp_path))] == "it is no object of the archive"
    assert told[str(cut)].startswith("it is no whole gzip file")
    assert told[str(other)] == f"it holds 3000-0 of {CUSTOMERS}, which its name does not say"


async def test_an_object_out_of_order_is_damaged(archive: Archive) -> None:
    """An object whose entries do not follow each other was not written by an archiver."""
    name = await put(archive, entry(CUSTOMERS, 1), entry(CUSTOMERS, 3), entry(CUSTOMERS, 2), entry(CUSTOMERS, 4))
    skipped = list[Skipped]()
    assert await read(archive, skipped=skipped) == []
    assert skipped == [Skipped(str(name), "2-0 stands in it out of order")]


async def test_an_object_that_goes_while_it_is_read(archive: Archive, tmp_path: Path) -> None:
    """An object that was there when the archive was listed, and is not when it is opened, is named."""
    await put(archive, entry(CUSTOMERS, 1))
    name = await put(archive, entry(CUSTOMERS, 5))
    skipped = list[Skipped]()
    found = list[str]()
    async for one in Reading(archive, skipped.append).entries(ALL):
        found.append(one.entry_id)
        (tmp_path / str(name)).unlink(missing_ok=True)
    assert found == ["1-0"]
    assert skipped == [Skipped(str(name), "it is not there any more")]


async def test_only_open_objects_are_in_memory(archive: Archive) -> None:
    """Of a year of days one object is open at a time."""
    for day in range(40):
        await put(archive, *(entry(CUSTOMERS, day * 86_400_000 + at) for at in range(3)))
    reading, opened, most = Reading(archive), list[Any](), 0
    open_one = reading._open

    async def counted(name: ObjectName, bounds: Bounds) -> Any:
        nonlocal most
        opened.append(cursor := await open_one(name, bounds))
        most = max(most, sum(not each._source._file.closed for each in opened))
        return cursor

    reading._open = counted  # type: ignore[method-assign]
    assert len([one async for one in reading.entries(ALL)]) == 120
    assert (len(opened), most) == (40, 1)
    assert all(each._source._file.closed for each in opened)


def of_company_52(found: Archived) -> bool:
    """Return whether an entry is of the company to remove."""
    return b'"52"' in found.fields[b"raw"]


@pytest.mark.parametrize("suffix", ["jsonl.gz", "parquet"])
async def test_a_company_is_removed_from_all_objects(archive: Archive, suffix: str) -> None:
    """What is unwanted goes, and nothing else; an object that holds nothing any more goes, too. Repeating is safe."""
    mixed = [entry(CUSTOMERS, at, company="52" if at % 3 == 0 else "51") for at in range(1, 100)]
    await put(archive, *mixed, suffix=suffix)
    await put(archive, entry(SUPPLIERS, 1, company="52"), suffix=suffix)
    untouched = await put(archive, entry(SUPPLIERS, 2), suffix=suffix)
    async with fake_store(Keys("er")) as store:
        assert len([one async for one in archived_entries(archive, of_company_52, [])]) == 34
        removed = await remove_entries(archive, store, of_company_52)
        assert (removed.events, removed.objects, removed.skipped) == (34, 2, [])
        assert [one async for one in archived_entries(archive, of_company_52, [])] == []
        assert [one.entry_id for one in await contents(archive.place)] == [
            *(one.entry_id for one in mixed if not of_company_52(one)),
            untouched.first,
        ]
        assert (await remove_entries(archive, store, of_company_52)).events == 0
        assert await read(archive)  # what is left is whole


async def test_what_cannot_be_read_is_told_to_the_one_who_erases(archive: Archive, tmp_path: Path) -> None:
    """An object that is damaged may hold what is to go: it is named, and left as it is."""
    name = await put(archive, entry(CUSTOMERS, 1, company="52"))
    path = tmp_path / str(name)
    path.write_bytes(path.read_bytes()[:20])
    async with fake_store(Keys("er")) as store:
        removed = await remove_entries(archive, store, of_company_52)
    assert [each.name for each in removed.skipped] == [str(name)]
    assert path.stat().st_size == 20


async def test_nothing_is_removed_while_another_process_writes(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing and archiving exclude each other: an archiver cannot write what was just removed."""
    monkeypatch.setattr(removing, "_PATIENCE", 0.0)
    await put(archive, entry(CUSTOMERS, 1, company="52"))
    async with fake_store(Keys("er")) as store, Lease(store, store.keys.archiving(), 60).held() as is_ours:
        assert is_ours
        with pytest.raises(ArchiveBusy):
            await remove_entries(archive, store, of_company_52)
    assert len(await contents(archive.place)) == 1
