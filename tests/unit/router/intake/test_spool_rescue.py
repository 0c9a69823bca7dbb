"""What becomes of a spool whose files are deleted, replaced, moved or cut while it is open."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs
from support.spools import MemoryStore, append, entry

from router.intake import spool_rescue
from router.intake.drain import Drain
from router.intake.group_commit import Appender
from router.intake.spool import Spool, SpoolFull
from router.intake.spool_file import Misplaced, SpoolFile
from router.intake.spool_rescue import SpoolKeeper, rescue
from router.intake.writer import Batch


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Parts:
    """A spool that takes all, since the store is away."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = Clock()
        self.store: Any = MemoryStore()
        self.store.away = RedisConnectionError("away")
        self.spool = Spool(SpoolFile.claim(directory), max_bytes=1_000_000, monotonic=self.clock)
        self.batch = Batch(self.store, window=60_000)
        self.appender = Appender(self.batch, self.spool)
        self.keeper = SpoolKeeper(self.spool, self.clock)

    async def append(self, *names: str) -> list[bool]:
        """Append one request."""
        return await append(self.appender, [entry(name) for name in names])

    async def drained(self) -> list[str]:
        """Return what the store has got once it answers and the spool is drained."""
        self.store.away = None
        assert await Drain(self.spool, self.batch, Random(1), self.clock).once()
        return [marker.rpartition(":")[2] for marker in self.store.appended]

    def found(self) -> list[str]:
        """Return what the next process would find, as this one is killed now."""
        names: list[str] = []
        for path in sorted(self.directory.glob("*.db")):
            copy = self.directory.parent / f"copy-{path.name}"
            for suffix in ("", "-wal"):
                if (part := path.with_name(path.name + suffix)).exists():
                    shutil.copy(part, copy.with_name(copy.name + suffix))
            file = SpoolFile(copy)
            names += [str(row.entry.fields[1]) for row in file.oldest(1000)]
            file.close()
        return names


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    """Yield a spool in a folder of its own with two entries that were accepted."""
    parts = Parts(tmp_path / "data" / "spool")
    assert await parts.append("a", "b") == [True, True]
    yield parts
    await parts.spool.close()


def _delete(spool: Path) -> None:
    for file in spool.iterdir():
        file.unlink()


def _delete_log(spool: Path) -> None:
    (spool / "0.db-wal").unlink()


def _delete_database(spool: Path) -> None:
    (spool / "0.db").unlink()


def _delete_folder(spool: Path) -> None:
    shutil.rmtree(spool)


def _delete_parent(spool: Path) -> None:
    shutil.rmtree(spool.parent)


def _rename_folder(spool: Path) -> None:
    spool.rename(spool.with_name("elsewhere"))


def _swap_folder(spool: Path) -> None:
    spool.rename(spool.with_name("elsewhere"))
    spool.mkdir()


def _replace(spool: Path) -> None:
    other = SpoolFile(spool.parent / "other.db")
    other.close()
    (spool.parent / "other.db").replace(spool / "0.db")


def _replace_by_rubbish(spool: Path) -> None:
    (spool / "rubbish").write_text("this is no database" * 100)
    (spool / "rubbish").replace(spool / "0.db")


def _copy(spool: Path) -> None:
    shutil.copy(spool / "0.db", spool / "copy")
    (spool / "copy").replace(spool / "0.db")


def _cut_log(spool: Path) -> None:
    with (spool / "0.db-wal").open("r+b") as file:
        file.truncate(32)


LOSSES = [
    _delete,
    _delete_log,
    _delete_database,
    _delete_folder,
    _delete_parent,
    _rename_folder,
    _swap_folder,
    _replace,
    _replace_by_rubbish,
    _copy,
]
each_loss = pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__.strip("_"))


@pytest.mark.parametrize("lose", [*LOSSES, _cut_log], ids=lambda lose: lose.__name__.strip("_"))
async def test_nothing_is_accepted_that_nobody_would_find(parts: Parts, lose: Callable[[Path], None]) -> None:
    """A 2xx means stored where a restart finds it: with the files gone, a request fails, and all is not well."""
    lose(parts.directory)
    with pytest.raises(SpoolFull, match="cannot be written"):
        await parts.append("c")
    assert parts.spool.is_full


@each_loss
async def test_what_was_accepted_is_saved(parts: Parts, lose: Callable[[Path], None]) -> None:
    """What waits in files that are gone is in new ones as soon as that is noticed, also without a request."""
    lose(parts.directory)
    with capture_logs() as logged:
        await parts.keeper.look()
    assert [line["event"] for line in logged if line["event"] != "spool_broken"] == ["spool_lost", "spool_rescued"]
    assert (logged[-1]["entries"], logged[-1]["lost"]) == (2, 0)
    assert parts.found() == ["a", "b"]
    assert parts.spool.entries == 2
    assert await parts.drained() == ["a", "b"]
    assert parts.spool.entries == 0


@each_loss
async def test_it_goes_on_after_a_while(parts: Parts, lose: Callable[[Path], None]) -> None:
    """Nothing is taken until whoever removed the files is likely to have finished; then all is as it was before."""
    lose(parts.directory)
    await parts.keeper.look()
    with pytest.raises(SpoolFull, match="not where they were"):
        await parts.append("c")
    assert parts.spool.is_full
    parts.clock.now += 10
    await parts.keeper.look()
    assert not parts.spool.is_full
    assert await parts.append("d") == [True]
    assert parts.found() == ["a", "b", "d"]
    assert await parts.drained() == ["a", "b", "d"]


async def test_a_loss_between_commit_and_answer(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are looked at once more after the commit, before anybody is told that it is stored."""
    faults = iter(["", "gone"])
    monkeypatch.setattr(parts.spool._file.place, "fault", lambda: next(faults))
    with pytest.raises(SpoolFull, match="gone"):
        await parts.append("c")


async def test_files_that_are_lost_again(parts: Parts) -> None:
    """Who removes the new files as well loses nothing either."""
    for _ in range(3):
        _delete(parts.directory)
        await parts.keeper.look()
    assert parts.found() == ["a", "b"]


async def test_what_the_drain_has_read_before_the_loss_removes_nothing_from_the_new_file(parts: Parts) -> None:
    """Numbers of entries in the old file mean others in the new one: they are drained again, as duplicates."""
    other = SpoolFile(parts.directory / "1.db")
    other.add([entry("left")])
    other.close()
    rows = await parts.spool.oldest(10)
    _delete_database(parts.directory)
    (parts.directory / "0.db-wal").unlink()
    await parts.keeper.look()
    await parts.spool.remove(rows)
    assert sorted(parts.found()) == ["a", "b", "left"]
    assert parts.spool.entries == 3


async def test_a_disk_that_is_gone(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is on another disk now is no place to keep anything; what waits can be drained all the same."""
    monkeypatch.setattr(parts.spool._file.place, "_device", -1)
    _delete_folder(parts.directory)
    with capture_logs() as logged:
        await parts.keeper.look()
        await parts.keeper.look()
    assert [line["event"] for line in logged] == ["spool_lost", "spool_not_rescued"]
    assert "another disk" in logged[-1]["error"]
    assert not parts.directory.exists()
    assert parts.spool.is_full
    assert await parts.drained() == ["a", "b"]


async def test_no_room_for_a_copy(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what waits cannot be copied, it is tried again, and no half of a copy stays."""
    with monkeypatch.context() as full:
        full.setattr(SpoolFile, "_check_room", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("full")))
        _delete(parts.directory)
        await parts.keeper.look()
    assert parts.found() == []
    await parts.keeper.look()
    assert parts.found() == ["a", "b"]


async def test_a_damaged_file_is_saved_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    """Of a file that was cut, what can still be read is saved, and the log says that the rest is lost."""
    file = SpoolFile(tmp_path / "0.db")
    file.add([entry(f"{number:04}", size=1) for number in range(5000)])
    file.shrink()
    assert file.place.fault() == ""
    with (tmp_path / "0.db").open("r+b") as cut:
        cut.truncate(40_960)
    with pytest.raises(Misplaced, match="was cut"):
        file.add([entry("late")])
    file._db.execute("PRAGMA cache_size=0").fetchall()
    file._db.execute("PRAGMA shrink_memory").fetchall()
    with capture_logs() as logged:
        saved = rescue(file)
    assert saved.path.name != "0.db"
    assert "spool_damaged" in [line["event"] for line in logged]
    saved.close()


async def test_the_files_are_looked_at_while_something_waits(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss is noticed within a second, and without anything in the files nobody looks."""
    looks = asyncio.Event()
    monkeypatch.setattr(spool_rescue, "_LOOK", 0.01)
    look = parts.keeper.look

    async def counted() -> None:
        await look()
        looks.set()

    monkeypatch.setattr(parts.keeper, "look", counted)
    running = asyncio.create_task(parts.keeper.run())
    _delete(parts.directory)
    await asyncio.wait_for(looks.wait(), 10)
    assert parts.found() == ["a", "b"]
    running.cancel()
    await asyncio.wait([running])


async def test_a_spool_that_could_not_be_written_is_tried_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was read-only or full for a while is found to be writable again without a request that tries it."""
    with monkeypatch.context() as broken:
        broken.setattr(
            SpoolFile, "_check_room", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("read-only"))
        )
        with pytest.raises(SpoolFull, match="read-only"):
            await parts.append("c")
        await parts.keeper.look()
        assert parts.spool.is_full
    await parts.keeper.look()
    assert not parts.spool.is_full


def test_a_log_without_its_file_is_not_thrown_away(tmp_path: Path) -> None:
    """SQLite deletes the log of a file that it makes anew; what waits in one may be all that is left."""
    file = SpoolFile(tmp_path / "0.db")
    file.add([entry("a")])
    (tmp_path / "0.db").unlink()
    again = SpoolFile.claim(tmp_path)
    assert again.path.name == "1.db"
    assert (tmp_path / "0.db-wal").stat().st_size
    for each in (again, file):
        each.close()
