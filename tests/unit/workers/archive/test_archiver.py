"""The archiver: what is trimmed is archived, whole days at a time, under names that say what is in an object."""

import asyncio
import errno
import time
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError
from support.archiving import ArchiveBench, contents, days_ago
from support.filling import CUSTOMERS, FINANCIAL, put_group
from support.servers import starting
from support.stores import real_store

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.archive.errors import ArchiveUnreachable
from workers.archive.folder import Folder
from workers.archive.name import ObjectName
from workers.archive.removing import remove_entries
from workers.incidents import Incident, Incidents
from workers.state.archive import archive_state

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


@pytest.fixture
def bench(store: Store, catalogue: Catalogue, tmp_path: Path) -> ArchiveBench:
    """Return a bench."""
    return ArchiveBench(store, catalogue, tmp_path / "archive")


async def test_what_is_trimmed_is_archived(bench: ArchiveBench) -> None:
    """Old events leave their streams and stand in the archive, all fields of them."""
    old = await bench.add(CUSTOMERS, days_ago(8), 5, trace=b"00-1")
    young = await bench.add(CUSTOMERS, days_ago(0))
    await bench.round()
    assert await bench.ids(CUSTOMERS) == young
    found = await contents(bench.archive.place)
    assert [entry.entry_id for entry in found] == old
    at = old[0].partition("-")[0].encode()
    assert found[0].fields == {b"id": b"e" + old[0].encode(), b"at": at, b"raw": b"{}", b"trace": b"00-1"}
    assert bench.value("event_router_archived_events_total", stream=CUSTOMERS) == 5


async def test_a_day_is_archived_when_it_is_over(bench: ArchiveBench) -> None:
    """Each day of each stream is one object; the present day waits, and nothing leaves its stream before its time."""
    for days in (3, 2, 1, 0):
        await bench.add(CUSTOMERS, days_ago(days), 2)
        await bench.add(SUPPLIERS, days_ago(days))
    await bench.round()
    names = [ObjectName.parse(name) for name in await bench.objects()]
    assert [name and name.stream for name in names] == [CUSTOMERS] * 3 + [SUPPLIERS] * 3
    assert len(await bench.ids(CUSTOMERS)) == 8
    before = await bench.objects()
    await bench.round()
    assert await bench.objects() == before


async def test_a_short_window_does_not_wait_for_the_day(bench: ArchiveBench) -> None:
    """Where events stay for less than a day they are archived before they are trimmed, with all that is finished."""
    old = await bench.add(CUSTOMERS, days_ago(2 / 24))
    await bench.add(CUSTOMERS, days_ago(0.5 / 24))
    await bench.round(window=3600)
    assert (await bench.archived())[0] == old[0]
    assert old[0] not in await bench.ids(CUSTOMERS)


async def test_what_is_not_finished_is_not_archived(bench: ArchiveBench) -> None:
    """What a subscription has not finished stays in the stream and out of the archive, with all that came after it."""
    await put_group(bench.store, "sync")
    ids = await bench.add(CUSTOMERS, days_ago(8), 4)
    await bench.finish(CUSTOMERS, 2)
    await bench.round()
    assert (await bench.archived(), await bench.ids(CUSTOMERS)) == (ids[:2], ids[2:])
    await bench.finish(CUSTOMERS, 2)
    await bench.round()
    assert (await bench.archived(), await bench.ids(CUSTOMERS)) == (ids, [])


async def test_a_large_day_is_several_objects(bench: ArchiveBench, tmp_path: Path) -> None:
    """An object has about as many bytes as the settings say; together they hold each event once."""
    small = ArchiveBench(bench.store, bench.catalogue, tmp_path / "small", object_bytes=65_536)
    ids = await small.add(CUSTOMERS, days_ago(8), 1200, hints=b'{"a":"' + b"x" * 200 + b'"}')
    await small.round()
    assert len(await small.objects()) > 1
    assert await small.archived() == ids
    assert await small.ids(CUSTOMERS) == []


class Away:
    """A place that is away from some call on."""

    def __init__(self, place: Any, puts: int) -> None:
        self.place, self.puts = place, puts

    async def put(self, name: str, content: bytes, still: Any) -> None:
        """Take so many objects."""
        if self.puts == 0:
            raise ArchiveUnreachable("s3://bucket: no route to host")
        self.puts -= 1
        await self.place.put(name, content, still)

    async def sweep(self) -> None:
        """Remove what is being put."""
        await self.place.sweep()


async def test_an_archive_that_is_away_holds_up_the_trimming_alone(bench: ArchiveBench) -> None:
    """While the archive is away nothing that is due leaves its stream; once it is back, all goes on."""
    here: Any = bench.archive.place
    ids = await bench.add(CUSTOMERS, days_ago(8))
    others = await bench.add(SUPPLIERS, days_ago(8))
    bench.archive.place = Away(here, puts=1)  # type: ignore[assignment]
    await bench.round()
    assert await bench.ids(CUSTOMERS) == []
    assert await bench.ids(SUPPLIERS) == others
    assert [line["error"] for line in bench.log if line["event"] == "archive_failed"] == [
        "s3://bucket: no route to host"
    ]
    assert bench.value("event_router_archive_failures_total") == 1
    assert bench.value("event_router_retention_rounds_total", outcome="failed") == 1
    (incident,) = await Incidents(bench.store).listed()
    assert (incident.kind, incident.subject) == ("archive", bench.settings.to)
    assert "no route to host" in incident.what
    assert (await archive_state(bench.store)).lag(time.time()) > 3600
    bench.archive.place = here
    await bench.round()
    assert await Incidents(bench.store).listed() == []
    assert (await archive_state(bench.store)).lag(time.time()) == 0
    assert await bench.archived() == [*ids, *others]
    assert await bench.ids(SUPPLIERS) == []


async def test_a_disk_that_is_full(bench: ArchiveBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits is archived and trimmed, the rest stays in its stream, and that is said once; with room all goes on.

    An erasure frees what it can, too, and leaves objects whole.
    """
    room = [1]
    write = Folder._write

    def written(self: Folder, part: Path, content: bytes) -> None:
        write(self, part, content if room[0] > 0 else content[:10])
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(part))

    monkeypatch.setattr(Folder, "_write", written)
    ids = [*await bench.add(CUSTOMERS, days_ago(9), 2), *await bench.add(CUSTOMERS, days_ago(8), 2)]
    archiver = bench.archiver()
    monkeypatch.setattr(bench, "archiver", lambda _window: archiver)
    said = []
    for _ in range(3):
        await bench.round()
        said += [line["event"] for line in bench.log if str(line["event"]).startswith("archive")]
        assert await bench.ids(CUSTOMERS) == ids[2:]
        assert await bench.archived() == ids[:2]
    assert said == ["archive_failed"]
    (incident,) = await Incidents(bench.store).listed()
    assert "No space left" in incident.what
    assert len(await Incidents(bench.store).notices()) == 1
    with pytest.raises(ArchiveUnreachable, match="No space left"):
        await remove_entries(bench.archive, bench.store, lambda entry: entry.entry_id == ids[0])
    assert await bench.archived() == ids[:2]
    removed = await remove_entries(bench.archive, bench.store, lambda entry: entry.entry_id in ids[:2])
    assert (removed.events, await bench.archived()) == (2, [])
    room[0] = 10
    await bench.round()
    assert (await bench.ids(CUSTOMERS), await bench.archived()) == ([], ids[2:])
    assert "archive_resumed" in [line["event"] for line in bench.log]
    assert await Incidents(bench.store).listed() == []
    assert [*Path(bench.settings.folder or "").rglob("*.part")] == []


async def test_what_is_said_of_a_place_that_is_left_is_over(bench: ArchiveBench) -> None:
    """Where the settings name another place, the incident of the one before is over."""
    await Incidents(bench.store).open(Incident("archive", "s3://left", 1, "It is away.", "Mend it.", "event-router"))
    bench.archive.place = Away(bench.archive.place, puts=0)  # type: ignore[assignment]
    await bench.add(CUSTOMERS, days_ago(8))
    await bench.round()
    assert [one.subject for one in await Incidents(bench.store).listed()] == [bench.settings.to]


async def test_a_worker_that_ends_does_not_wait_for_the_archive(bench: ArchiveBench) -> None:
    """A bucket that takes long does not hold up the end of a worker; what was being written is written again later."""
    here, putting = bench.archive.place, asyncio.Event()

    class Slow:
        sweep = here.sweep

        async def put(self, name: str, content: bytes, still: Any) -> None:
            """Never end."""
            putting.set()
            await asyncio.Event().wait()

    ids = await bench.add(CUSTOMERS, days_ago(8))
    bench.archive.place = Slow()  # type: ignore[assignment]
    round_ = asyncio.create_task(bench.round())
    await putting.wait()
    bench.stopping.set()
    await round_
    assert await bench.ids(CUSTOMERS) == ids
    bench.stopping.clear()
    bench.archive.place = here
    await bench.round()
    assert (await bench.archived(), await bench.ids(CUSTOMERS)) == (ids, [])


async def test_a_worker_without_an_archive_trims_no_more_than_is_archived(bench: ArchiveBench) -> None:
    """That a stream is archived is known to the store: a worker whose settings do not say so obeys all the same."""
    await put_group(bench.store, "sync")
    ids = await bench.add(CUSTOMERS, days_ago(8), 4)
    await bench.finish(CUSTOMERS, 2)
    await bench.round()
    await bench.finish(CUSTOMERS, 2)
    await bench.round(archiving=False)
    assert await bench.ids(CUSTOMERS) == ids[2:]
    await bench.round()
    assert await bench.archived() == ids


async def test_an_object_that_was_not_confirmed_is_written_once_more(
    bench: ArchiveBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process killed between object and position leaves an object; it is made again, whatever was finished since."""
    await put_group(bench.store, "sync")
    ids = await bench.add(CUSTOMERS, days_ago(8), 4)
    await bench.finish(CUSTOMERS, 2)
    archiver = bench.archiver()
    monkeypatch.setattr(archiver._scripts, "confirm", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await archiver.round([CUSTOMERS])
    (name,) = await bench.objects()
    content = Path(bench.settings.folder or "", name).read_bytes()
    await bench.finish(CUSTOMERS, 2)
    await bench.archiver().round([CUSTOMERS])
    first, _ = await bench.objects()
    assert (first, Path(bench.settings.folder or "", first).read_bytes()) == (name, content)
    assert await bench.archived() == ids


async def test_two_at_once(bench: ArchiveBench) -> None:
    """Of two processes that both believe to have the lease only one confirms an object; the events are there once."""
    ids = await bench.add(CUSTOMERS, days_ago(8), 3)
    one, two = bench.archiver(), bench.archiver()
    due, _ = await one._due([CUSTOMERS])

    class Lease:
        async def renew(self) -> None:
            """Believe it."""

        keep = renew

    lease: Any = Lease()
    await one._write(CUSTOMERS, due[CUSTOMERS], lease)
    await two._write(CUSTOMERS, due[CUSTOMERS], lease)
    assert await bench.archived() == ids
    assert bench.value("event_router_archived_events_total", stream=CUSTOMERS) == 3


@pytest.mark.parametrize("held_up", ["before it writes", "before it reads the clock again"])
async def test_one_that_was_held_up_in_a_put_brings_back_nothing_that_was_erased(
    bench: ArchiveBench, held_up: str
) -> None:
    """What an archiver was putting when it was stopped replaces no object that others confirmed and cleaned since."""
    here: Any = bench.archive.place
    ids = await bench.add(CUSTOMERS, days_ago(8), 3)
    first, stopped, woken = bench.archiver(), asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        stopped.set()
        await woken.wait()

    class Stopped:
        sweep = here.sweep

        async def put(self, name: str, content: bytes, still: Any) -> None:
            """Be stopped: before anything is written, or when the lease was still held."""
            bench.archive.place = here

            async def still_then_stop() -> None:
                await still()
                await stop()

            if held_up == "before it writes":
                await stop()
                await here.put(name, content, still)
            else:
                await here.put(name, content, still_then_stop)

    bench.archive.place = Stopped()  # type: ignore[assignment]
    round_ = asyncio.create_task(first.round([CUSTOMERS]))
    await stopped.wait()
    await bench.store.command("DEL", bench.store.keys.archiving())  # it ends by itself
    assert await bench.archiver().round([CUSTOMERS])
    await bench.store.command("XDEL", bench.store.keys.events(CUSTOMERS), ids[1])
    await remove_entries(bench.archive, bench.store, lambda entry: entry.entry_id == ids[1])
    woken.set()
    assert await round_
    assert await bench.archived() == [ids[0], ids[2]]
    assert [path.name for path in Path(bench.settings.folder or "").glob("_pending/*")] == []


async def test_one_that_was_held_up_before_a_put_archives_nothing_that_was_erased(
    bench: ArchiveBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is removed while an archiver is stopped for longer than its lease is in the archive no more in the end."""
    ids = await bench.add(CUSTOMERS, days_ago(8), 3)
    archiver = bench.archiver()
    make = archiver._make

    async def stopped(*given: Any) -> Any:
        made = await make(*given)
        await bench.store.command("DEL", bench.store.keys.archiving())
        await bench.store.command("XDEL", bench.store.keys.events(CUSTOMERS), ids[1])
        return made

    monkeypatch.setattr(archiver, "_make", stopped)
    assert await archiver.round([CUSTOMERS])
    assert await bench.archived() == []
    await bench.archiver().round([CUSTOMERS])
    assert await bench.archived() == [ids[0], ids[2]]


async def test_a_window_of_no_archive_trims_nothing(bench: ArchiveBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot even be said that a stream is archived, nothing is removed from it."""
    ids = await bench.add(CUSTOMERS, days_ago(8), 3)

    async def broken(*_: object) -> bool:
        raise ValueError("no archive")

    archiver = bench.archiver()
    monkeypatch.setattr(archiver, "round", broken)
    monkeypatch.setattr(bench, "archiver", lambda _window: archiver)
    await bench.round()
    assert await bench.ids(CUSTOMERS) == ids
    assert "archive_broken" in [line["event"] for line in bench.log]


@pytest.mark.real
async def test_a_server_that_is_out_of_memory(catalogue: Catalogue, tmp_path: Path) -> None:
    """Archiving and trimming take no memory: they go on where nothing else is taken, and make room."""
    with starting() as server:
        async with real_store(server.url) as store:
            bench = ArchiveBench(store, catalogue, tmp_path / "archive")
            ids = await bench.add(CUSTOMERS, days_ago(8), 5)
            await bench.archiver().round([])  # the server knows the scripts of a system that runs
            server.ask("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(ResponseError, match="maxmemory"):
                await bench.add(CUSTOMERS, days_ago(7))
            await bench.round()
            server.ask("CONFIG", "SET", "maxmemory", "0")
            assert await bench.archived() == ids
            assert await bench.ids(CUSTOMERS) == []


async def test_a_folder_that_is_not_there(bench: ArchiveBench) -> None:
    """A folder that is not there, such as one that is not mounted, is not made: the archive is away."""
    folder = bench.settings.folder
    assert folder is not None
    folder.rmdir()
    ids = await bench.add(CUSTOMERS, days_ago(8))
    await bench.round()
    assert not folder.exists()
    assert await bench.ids(CUSTOMERS) == ids
    assert [str(folder) in line["error"] for line in bench.log if line["event"] == "archive_failed"] == [True]
