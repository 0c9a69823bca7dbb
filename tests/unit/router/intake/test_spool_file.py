"""The spool on disk."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.errors import ConfigError
from router.intake.entry import Entry
from router.intake.spool_file import SpoolFile, left_over, size_of

HOLDER = """
import sys, time
from pathlib import Path
from router.intake.entry import Entry
from router.intake.spool_file import SpoolFile
from router.intake.spool import Spool
file = Spool.open(Path(sys.argv[1]), max_bytes=1_000_000)._file
file.add([Entry("p/t", "m", ("id", "held", "raw", b"{}"), 2)])
print("held", file=sys.stderr, flush=True)
time.sleep(60)
"""


class _Disk(NamedTuple):
    """What the system says of a disk."""

    f_blocks: int
    f_bavail: int
    f_frsize: int


def entry(name: str, stream: str = "p/first", size: int = 10) -> Entry:
    """Return an entry."""
    return Entry(stream, f"{stream}:seen:{name}", ("id", name, "at", 1_760_000_000_000, "raw", b"\xff\x00"), size)


def names(file: SpoolFile, **options: object) -> list[object]:
    """Return the ids of what waits."""
    return [row.entry.fields[1] for row in file.oldest(1000, **options)]  # type: ignore[arg-type]


def test_entries_come_back_as_they_went_in_and_in_order(tmp_path: Path) -> None:
    """What waits is read in the order in which it came, every field with its type."""
    file = SpoolFile.claim(tmp_path)
    entries = [entry(f"n{number}", f"p/{number % 3}") for number in range(10)]
    file.add(entries[:4])
    file.add(entries[4:])
    assert [row.entry for row in file.oldest(100)] == entries
    assert [row.entry for row in file.oldest(3)] == entries[:3]
    assert names(file, without={"p/0", "p/1"}) == ["n2", "n5", "n8"]
    third = file.oldest(3)[-1].id
    assert names(file, after=third) == [f"n{number}" for number in range(3, 10)]
    file.close()


def test_what_is_removed_is_gone_and_what_is_not_stays(tmp_path: Path) -> None:
    """Removing takes out those entries only, also for the next process."""
    file = SpoolFile.claim(tmp_path)
    file.add([entry(name) for name in "abc"])
    file.remove([file.oldest(1)[0].id])
    file.close()
    again = SpoolFile.claim(tmp_path)
    assert names(again) == ["b", "c"]
    again.close()


def test_sizes_are_those_of_the_entries(tmp_path: Path) -> None:
    """What a file says of itself when it is opened is what was counted when it was filled."""
    file = SpoolFile.claim(tmp_path)
    entries = [entry("a", size=100), entry("b", "p/second", size=1)]
    assert file.sizes() == ({}, 0)
    file.add(entries)
    assert file.sizes() == ({"p/first": 1, "p/second": 1}, sum(map(size_of, entries)))
    file.close()


def test_a_file_is_held_by_one(tmp_path: Path) -> None:
    """Two spools of one folder get two files, and what a living one holds is not left over."""
    first, second = SpoolFile.claim(tmp_path), SpoolFile.claim(tmp_path)
    assert first.path != second.path
    assert list(left_over(second)) == []
    third = SpoolFile.claim(tmp_path)
    assert len({first.path, second.path, third.path}) == 3
    for file in (first, second, third):
        file.close()


def test_another_process_holds_its_file_until_it_is_killed(tmp_path: Path) -> None:
    """The lock goes with the process, however it ends, and what it had put in is there."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stderr is not None
            assert holder.stderr.readline() == "held\n"
            own = SpoolFile.claim(tmp_path)
            assert own.path.name == "1.db"
            assert list(left_over(own)) == []
        finally:
            holder.kill()
            holder.wait()
    (orphan,) = left_over(own)
    assert names(orphan) == ["held"]
    orphan.close()
    own.close()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """Bodies are business data: the folder and the file are for their owner only."""
    file = SpoolFile.claim(tmp_path / "spool")
    file.add([entry("a")])
    modes = [path.stat().st_mode & 0o077 for path in (tmp_path / "spool", *(tmp_path / "spool").iterdir())]
    assert modes == [0] * len(modes)
    file.close()


def test_each_write_is_flushed_to_the_disk(tmp_path: Path) -> None:
    """A 2xx that stands for the spool survives a power failure: WAL with full synchronisation."""
    file = SpoolFile.claim(tmp_path)
    values = [file._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert values == ["wal", 2]
    file.close()


def test_an_empty_file_shrinks(tmp_path: Path) -> None:
    """An outage that filled the disk does not keep it full."""
    file = SpoolFile.claim(tmp_path)
    big = Entry("p/t", "m", ("raw", b"x" * 100_000), 100_000)
    file.add([big] * 20)
    file.shrink()
    assert file.path.stat().st_size > 2_000_000
    file.remove([row.id for row in file.oldest(100)])
    file.shrink()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 100_000
    file.close()


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Of a batch that the disk did not take, nothing is left behind, and the file goes on working."""
    file = SpoolFile.claim(tmp_path)
    file.add([entry("a")])
    file._db.execute("PRAGMA max_page_count=3")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        file.add([entry("b"), Entry("p/t", "m", ("raw", b"x" * 100_000), 100_000)])
    assert names(file) == ["a"]
    file._db.execute("PRAGMA max_page_count=1000")
    file.add([entry("c")])
    assert names(file) == ["a", "c"]
    file.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """A broken file does not keep ingress from starting, and is kept for whoever wants to look at it."""
    broken = b"not a database, and long enough to be read as the header of one" * 20
    (tmp_path / "0.db").write_bytes(broken)
    file = SpoolFile.claim(tmp_path)
    assert file.path.name == "1.db"
    assert list(left_over(file)) == []
    assert (tmp_path / "0.db").read_bytes() == broken
    file.close()


def test_a_damaged_file_is_logged_once(tmp_path: Path) -> None:
    """A process says once that a file is damaged, however often it looks, and the next process says it again."""
    (tmp_path / "0.db").write_bytes(b"not a database" * 100)
    with capture_logs() as logged:
        file = SpoolFile.claim(tmp_path)
        (tmp_path / "7.db").write_bytes(b"nor is this one" * 100)
        for _ in range(3):
            assert list(left_over(file)) == []
        file.close()
        SpoolFile.claim(tmp_path).close()
    told = [(line["event"], Path(line["file"]).name) for line in logged]
    assert told == [("spool_broken", "0.db"), ("spool_broken", "7.db"), ("spool_broken", "0.db")]


def test_many_processes_at_once_get_a_file_each(tmp_path: Path) -> None:
    """Starting together, with files left over, no two get the same, and none is refused."""
    for _ in range(2):
        file = SpoolFile.claim(tmp_path)
        file.add([entry("left")])
        file.close()
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    holders = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(8)
    ]
    try:
        for holder in holders:
            assert holder.stderr is not None
            assert holder.stderr.readline() == "held\n"
        assert len(list(tmp_path.glob("*.db"))) >= 8
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
    own = SpoolFile.claim(tmp_path)
    files = [own, *left_over(own)]
    assert sorted(name for file in files for name in names(file)) == ["held"] * 8 + ["left"] * 2
    for file in files:
        file.close()


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """Without a spool the promise of 202 cannot be kept: ingress does not start, and says why."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="spool_max_bytes = 0"):
        SpoolFile.claim(tmp_path / "file" / "spool")


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.binary(), st.integers(0, 2**53))))
def test_any_field_survives(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, bytes, int]]) -> None:
    """Whatever ingress can put into an entry comes back the same."""
    file = SpoolFile.claim(tmp_path_factory.mktemp("spool"))
    entries = [Entry("p/t", id_, ("id", id_, "at", at, "raw", raw), len(raw)) for id_, raw, at in rows]
    file.add(entries)
    assert [row.entry for row in file.oldest(1000)] == entries
    file.close()


def test_room_is_kept_for_removing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that could fill its disk to the last byte could never remove anything from it again."""
    file = SpoolFile.claim(tmp_path)
    disk = os.statvfs(tmp_path)
    monkeypatch.setattr("router.intake.spool_file._RESERVE", disk.f_blocks * disk.f_frsize)
    monkeypatch.setattr(
        "router.intake.spool_file.os.statvfs", lambda _path: _Disk(f_blocks=1000, f_bavail=250, f_frsize=1)
    )
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        file.add([entry("a")])
    assert names(file) == []
    file.close()


def test_a_damaged_file_is_not_taken(tmp_path: Path) -> None:
    """One whose pages are damaged does not keep ingress from starting either."""
    file = SpoolFile.claim(tmp_path)
    file.add([entry(f"n{number}", stream=f"p/{number}", size=1) for number in range(2000)])
    file.shrink()
    file.close()
    data = bytearray((tmp_path / "0.db").read_bytes())
    data[4096 * 3 :] = b"\xaa" * (len(data) - 4096 * 3)
    (tmp_path / "0.db").write_bytes(data)
    again = SpoolFile.claim(tmp_path)
    assert again.path.name == "1.db"
    assert list(left_over(again)) == []
    again.close()


def test_a_file_that_cannot_be_read_is_closed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is passed over is not kept open: its lock would keep it from who repairs it."""
    connections: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connections.append(connect(*arguments, **options))
        return connections[-1]

    own = SpoolFile(tmp_path / "0.db")
    with closing(connect(tmp_path / "7.db")) as database:
        database.execute("CREATE TABLE waiting (id INTEGER PRIMARY KEY)")
    monkeypatch.setattr(sqlite3, "connect", connected)
    with capture_logs() as logged:
        assert list(left_over(own)) == []
    own.close()
    assert [line["event"] for line in logged] == ["left_over_spool_unreadable"]
    assert len(connections) == 1
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connections[0].execute("SELECT 1")
