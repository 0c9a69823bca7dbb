"""The spool on disk: one SQLite file, held by one process, in which entries wait in the order in which they came.

The file is locked by SQLite itself for as long as it is open, and the lock goes with the process, however it ends. So
a file that can be opened is nobody's, and what waits in it was left over. No file is ever deleted or renamed: another
process may be opening it in that moment, and would then write to one that nobody finds again.
"""

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from config.errors import ConfigError
from router.intake.entry import Entry
from router.intake.spool_place import Place
from router.store.record import RAW
from router.telemetry import logs

T = TypeVar("T")

_log = logs.get("spool")

_SETTINGS = ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL")
_NAMES = ("broken", "waiting")
_TABLES = [
    f"""CREATE TABLE IF NOT EXISTS {name}
    (id INTEGER PRIMARY KEY, stream TEXT NOT NULL, marker TEXT NOT NULL, size INTEGER NOT NULL, fields BLOB NOT NULL)"""
    for name in _NAMES
]
_PAGE = 200
"""Entries to read at once of a file that is looked through."""
_AT_ONCE = 8 * 1024 * 1024
"""Bytes to read at once at most."""
_RESERVE = 8 * 1024 * 1024
"""Bytes of the disk, or a quarter of a small one, that are kept for removing: that takes room as well."""
_TRIED = 1024 * 1024
"""Bytes that must be free for a file that was refused to be taken for one that can be written again."""
_OVERHEAD = 64
"""Bytes that a row takes beyond its texts, about."""
_SIZE = f"size + LENGTH(stream) + 2 * LENGTH(marker) + {_OVERHEAD}"  # as in `size_of`


class Misplaced(sqlite3.OperationalError):
    """The files at the path are not those that are open: nobody would find what is written to these."""


class Row(NamedTuple):
    """An entry and its place in the file."""

    id: int
    entry: Entry


class Stored(NamedTuple):
    """An entry as it stands in a table of the file: with its fields, or where these are broken without."""

    table: str
    id: int
    entry: Entry


class SpoolFile:
    """An open spool file. Its methods block; they raise sqlite3.Error, after which the file is as it was before.

    What `add` has written when it raises Misplaced may stay in the file, which nobody but this process can read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logged: set[Path] = set()
        """The files beside this one that the log has named as damaged: it does so once, however often they are met."""
        self._broken: list[Entry] = []
        _create(path)
        self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            for setting in _SETTINGS:
                self._db.execute(f"PRAGMA {setting}")
            self._db.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                self._db.execute(table)
            self._db.execute("COMMIT")
            self.place = Place(path)
        except BaseException:
            self._db.close()
            raise

    @classmethod
    def claim(cls, directory: Path, *, without: Path | None = None) -> "SpoolFile":
        """Open the first file of the directory that no process holds; raises ConfigError when none can be written.

        `without` is one to leave alone.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            logged: set[Path] = set()
            for path in (directory / f"{number}.db" for number in count()):
                if path != without and (file := _try_open(path, logged)) is not None:
                    file.logged = logged
                    return file
            raise AssertionError("count never ends")
        except (OSError, sqlite3.Error) as error:
            advice = "make the folder writable, set data_dir, or ingress.spool_max_bytes = 0 to go without a spool"
            raise ConfigError(f"no spool in {directory} ({error}): {advice}") from error

    def sizes(self) -> tuple[Counter[str], int]:
        """Return how many entries wait for each stream, and their bytes."""
        query = f"SELECT stream, COUNT(*), SUM({_SIZE}) FROM waiting GROUP BY stream"  # noqa: S608 - a constant
        rows = self._db.execute(query).fetchall()
        return Counter({stream: number for stream, number, _ in rows}), sum(size for _, _, size in rows)

    def add(self, entries: Sequence[Entry]) -> None:
        """Put entries at the end; on disk, where it is found, when it returns."""
        self._check_room(sum(map(size_of, entries)))
        rows = [(e.stream, e.marker, e.size, msgspec.msgpack.encode(e.fields)) for e in entries]
        with self._transaction(in_place=True):
            self._db.executemany("INSERT INTO waiting (stream, marker, size, fields) VALUES (?, ?, ?, ?)", rows)

    def copy(self, other: "SpoolFile") -> sqlite3.Error | None:
        """Put all that another file has at the end, or nothing; return why it was not all, where that is damaged."""
        damage: sqlite3.Error | None = None

        def rows(table: str) -> Iterator[tuple[object, ...]]:
            nonlocal damage
            try:
                yield from other.rows(table)
            except sqlite3.Error as error:
                damage = error

        size = 0
        with contextlib.suppress(sqlite3.Error):  # a damaged one that cannot say it
            _, size = other.sizes()
        self._check_room(size)
        with self._transaction(in_place=True):
            for table in _NAMES:
                insert = f"INSERT INTO {table} (stream, marker, size, fields) VALUES (?, ?, ?, ?)"  # noqa: S608 - likewise
                self._db.executemany(insert, rows(table))
        return damage

    def rows(self, table: str) -> Iterator[tuple[object, ...]]:
        """Yield all of a table as it is stored, in order."""
        yield from self._db.execute(f"SELECT stream, marker, size, fields FROM {table} ORDER BY id")  # noqa: S608 - a constant

    def try_out(self) -> None:
        """Write something of no meaning, as `add` would; there has to be room for more than that."""
        self._check_room(_TRIED)
        with self._transaction(in_place=True):
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            self._db.execute(f"PRAGMA user_version = {(version + 1) % 1000}")

    def empty(self) -> None:
        """Take everything out."""
        with self._transaction():
            self._db.execute("DELETE FROM waiting")

    def oldest(self, limit: int, *, after: int = 0, without: Collection[str] = ()) -> list[Row]:
        """Return entries that came first, of ids above `after`, leaving out some streams; a bounded number of bytes.

        One that cannot be read any more is put aside, so that those behind it can.
        """
        marks = ", ".join("?" * len(without))
        query = f"SELECT id, stream, marker, size, fields FROM waiting WHERE id > ? AND stream NOT IN ({marks})"  # noqa: S608 - question marks only
        rows = self._db.execute(f"{query} ORDER BY id LIMIT ?", (after, *without, limit))
        found: list[Row] = []
        broken: list[tuple[int, Entry]] = []
        room = _AT_ONCE
        for id_, stream, marker, size, fields in rows:
            try:
                found.append(Row(id_, Entry(stream, marker, tuple(msgspec.msgpack.decode(fields)), size)))
            except (msgspec.DecodeError, TypeError):
                broken.append((id_, Entry(stream, marker, (), size)))
            room -= size
            if room <= 0:
                break
        rows.close()
        self._put_aside(broken)
        return found

    def stored(self, after: Stored | None) -> list[Stored]:
        """Return the next entries of all tables behind one, those that were put aside first; a bounded number."""
        tables = [table for table in _NAMES if after is None or table >= after.table]
        for table in tables:
            behind = after.id if after is not None and after.table == table else 0
            query = f"SELECT id, stream, marker, size, fields FROM {table} WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - a constant
            if rows := self._db.execute(query, (behind, _PAGE)).fetchall():
                return [Stored(table, row[0], Entry(row[1], row[2], _read(row[4]), row[3])) for row in rows]
        return []

    def erase(self, rows: Iterable[tuple[Path, str, int]]) -> bool:
        """Take entries out, each by file, table and id, and leave nothing of them; return that it is done."""
        with self._transaction():
            for _, table, id_ in rows:
                self._db.execute(f"DELETE FROM {table} WHERE id = ?", (id_,))  # noqa: S608 - as `stored` names it
        self.shrink()
        return True

    def take_broken(self) -> list[Entry]:
        """Return, once, the entries that were put aside, without their fields."""
        broken, self._broken = self._broken, []
        return broken

    def _put_aside(self, broken: Sequence[tuple[int, Entry]]) -> None:
        for id_, entry in broken:
            _log.error("spool_entry_broken", file=str(self.path), stream=entry.stream, marker=entry.marker)
            self._db.execute("INSERT OR IGNORE INTO broken SELECT * FROM waiting WHERE id = ?", (id_,))
            self._db.execute("DELETE FROM waiting WHERE id = ?", (id_,))
            self._broken.append(entry)

    def _check_room(self, size: int) -> None:
        try:
            disk = os.statvfs(self.path.parent)
        except OSError as error:
            raise Misplaced(f"{self.path.parent} cannot be found ({error.strerror})") from error
        reserve = min(_RESERVE, disk.f_blocks * disk.f_frsize // 4)
        if disk.f_bavail * disk.f_frsize < reserve + size:
            raise sqlite3.OperationalError("the disk is full, except for what removing entries needs")

    def remove(self, ids: Sequence[int]) -> None:
        """Take entries out; the file keeps its size."""
        with self._transaction():
            self._db.executemany("DELETE FROM waiting WHERE id = ?", [(id_,) for id_ in ids])

    def shrink(self) -> None:
        """Give the space of what was removed back to the disk; takes as much time as there is left in the file."""
        self._db.execute("VACUUM")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.place.fault(shrunk=True)

    def close(self) -> None:
        """Close the file, and let others have it."""
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self, *, in_place: bool = False) -> Iterator[None]:
        """Commit what is done meanwhile; `in_place` only where others find it, looked at before and after."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            if in_place:
                self._check_place()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        if in_place:
            self._check_place()

    def _check_place(self) -> None:
        if fault := self.place.fault():
            raise Misplaced(fault)


def size_of(entry: Entry) -> int:
    """Return the bytes that an entry is counted with, about what it takes on disk."""
    return entry.size + len(entry.stream) + 2 * len(entry.marker) + _OVERHEAD


def opened(path: Path, work: Callable[[SpoolFile], T]) -> T | None:
    """Return what work on a file comes to that no process holds, and close it; None where one does.

    Raises ConfigError for a file that cannot be read.
    """
    try:
        file = _try_open(path, set())
        if file is None:
            return None
        try:
            return work(file)
        finally:
            file.close()
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def left_over(own: SpoolFile) -> Iterator[SpoolFile]:
    """Open the files beside our own that no process holds, one after the other; the caller closes each."""
    for path in sorted(own.path.parent.glob("*.db")):
        if path == own.path:
            continue
        try:
            file = _try_open(path, own.logged)
        except (OSError, sqlite3.Error) as error:
            _log.warning("left_over_spool_unreadable", file=str(path), error=str(error))
            continue
        if file is not None:
            yield file


def _try_open(path: Path, logged: set[Path]) -> SpoolFile | None:
    """Open a file; None when another process holds it, or when it is no database: that is left where it is.

    A damaged one is logged once: unless it is in `logged`, which it is put into.
    """
    if _is_remains(path):
        if path not in logged:
            _log.error("spool_broken", file=str(path), error=f"only its log is there, {path}-wal, with what waited")
        logged.add(path)
        return None
    try:
        return _open(path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return None
        raise
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
        if path not in logged:
            _log.error("spool_broken", file=str(path), error=str(error))
        logged.add(path)
        return None


def _read(fields: bytes) -> tuple[Any, ...]:
    """Return the fields of an entry; those that are broken as one whole, by which it may still be known whose it is."""
    try:
        return tuple(msgspec.msgpack.decode(fields))
    except (msgspec.DecodeError, TypeError):
        return (RAW, fields)


def _open(path: Path) -> SpoolFile:
    """Open a file, and read as much of it as says whether it can be used; raises sqlite3.Error and leaves it closed."""
    file = SpoolFile(path)
    try:
        file.sizes()
    except BaseException:
        file.close()
        raise
    return file


def _is_remains(path: Path) -> bool:
    """Return whether the file is gone, or empty, and its log is not: SQLite would delete that."""
    log = path.with_name(f"{path.name}-wal")
    try:
        return log.stat().st_size > 0 and not (path.exists() and path.stat().st_size)
    except OSError:
        return False


def _create(path: Path) -> None:
    """Create the file for our eyes only. One that exists is not opened: closing it again would drop SQLite's lock."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
