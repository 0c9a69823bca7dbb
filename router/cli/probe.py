"""What `doctor` finds out by trying: how it is to talk to each server, and what is in the folder of the spool."""

import os
import shutil
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

from redis.exceptions import ResponseError

from router.cli.checks import Conversation, SpoolFolder, Waiting
from router.store_facts import Ask, is_denied

__all__ = ["look_at_spool", "talk_to"]

_PINGS = 5


async def talk_to(name: str, ask: Ask) -> Conversation:
    """Talk to a server for a moment; raises what redis-py raises when it does not answer."""
    ahead = await _ahead(ask)  # first, so that connecting is not measured
    return Conversation(name, await _round_trip(ask), ahead, await _user(ask))


def look_at_spool(folder: Path) -> SpoolFolder:
    """Look at a folder that need not be there, and make nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    files = sorted(folder.glob("*.db"))
    left = [_left_over(file) for file in files]
    waiting = tuple(file for file in left if file is not None)
    return SpoolFolder(folder, writable, shutil.disk_usage(there).free, sum(map(_size, files)), waiting)


def _left_over(file: Path) -> Waiting | None:
    """Return what waits in a file; None when nothing does, or when the ingress it belongs to runs."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=0)) as database:
            (events,) = database.execute("SELECT COUNT(*) FROM waiting").fetchone()
    except sqlite3.Error as error:
        held = error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        return None if held or "no such table" in str(error) else Waiting(file, _size(file), None)
    return Waiting(file, _size(file), events) if events else None


def _size(file: Path) -> int:
    """Return the bytes of a file and of the log beside it."""
    parts = (file, Path(f"{file}-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


async def _round_trip(ask: Ask) -> float:
    times = []
    for _ in range(_PINGS):
        started = time.perf_counter()
        await ask("PING")
        times.append(time.perf_counter() - started)
    return statistics.median(times)


async def _ahead(ask: Ask) -> float | None:
    """Return how many seconds the server's clock is ahead of ours."""
    before = time.time()
    try:
        seconds, microseconds = await ask("TIME")
    except ResponseError as error:
        if is_denied(error):
            return None
        raise
    return float(seconds) + float(microseconds) / 1e6 - (before + time.time()) / 2


async def _user(ask: Ask) -> str | None:
    try:
        reply = await ask("ACL WHOAMI")
    except ResponseError as error:
        if is_denied(error):
            return None
        raise
    return reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)
