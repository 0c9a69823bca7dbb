"""What `doctor` finds out by trying: how it is to talk to each server, and what is in the folder of the spool.

What a running ingress has spooled is in a file that it has locked, so it is asked itself, on its operations port.
"""

import asyncio
import os
import re
import shutil
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import aiohttp
from redis.exceptions import ResponseError

from config.settings import Settings
from router.cli.checks import Conversation, LeftFile, SpoolFolder, Spooling, UsedFile
from router.cli.ops_ports import TIMEOUT, ops_ports
from router.ops import PROCESS_HEADER
from router.store_facts import Ask, is_denied

__all__ = ["ask_ingresses", "look_at_spool", "talk_to"]

_PINGS = 5
_SPOOL_METRIC = re.compile(r"^event_router_spool_(\w+) (\S+)$", re.MULTILINE)


async def talk_to(name: str, ask: Ask) -> Conversation:
    """Talk to a server for a moment; raises what redis-py raises when it does not answer."""
    ahead = await _ahead(ask)  # first, so that connecting is not measured
    return Conversation(name, await _round_trip(ask), ahead, await _user(ask))


def look_at_spool(folder: Path) -> SpoolFolder:
    """Look at a folder that need not be there, and make nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    files = sorted(folder.glob("*.db"))
    found = [_look_at(file) for file in files]
    return SpoolFolder(
        folder,
        writable,
        shutil.disk_usage(there).free,
        sum(map(_size, files)),
        tuple(file for file in found if isinstance(file, LeftFile)),
        tuple(file for file in found if isinstance(file, UsedFile)),
    )


async def ask_ingresses(settings: Settings) -> list[Spooling]:
    """Return what the ingresses say of their spools that answer on the operations ports of the settings."""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        found = await asyncio.gather(*(_ask_ingress(session, port.url) for port in ops_ports(settings)))
    return [spooling for spooling in found if spooling is not None]


async def _ask_ingress(session: aiohttp.ClientSession, url: str) -> Spooling | None:
    try:
        async with session.get(f"{url}/metrics") as response:
            role, _, name = response.headers.get(PROCESS_HEADER, "").partition(" ")
            text = await response.text()
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):  # whoever else may listen there
        return None
    figures = {figure: float(value) for figure, value in _SPOOL_METRIC.findall(text)} if role == "ingress" else {}
    if not figures:  # an ingress without a spool has none
        return None
    return Spooling(unquote(name), int(figures["entries"]), int(figures["bytes"]), figures["age_seconds"])


def _look_at(file: Path) -> LeftFile | UsedFile | None:
    """Return what waits in a file, or that the ingress it belongs to runs; None when nothing waits."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=0)) as database:
            (events,) = database.execute("SELECT COUNT(*) FROM waiting").fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return UsedFile(file, _size(file))
        return None if "no such table" in str(error) else LeftFile(file, _size(file), None)
    return LeftFile(file, _size(file), events) if events else None


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
