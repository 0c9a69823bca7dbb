"""What `doctor` finds out by trying: how it is to talk to each server, and what is in the folder of the spool.

What a running ingress has spooled is in a file that it has locked, so it is asked itself, on its operations port.
"""

import asyncio
import os
import shutil
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from config.settings import Settings
from router.cli.doctor.checks import Ingress, SpooledFile, SpoolFolder, judge_conversation, judge_warning
from router.process.ops import PROCESS_HEADER
from router.process.ops_ports import TIMEOUT, ops_ports
from router.process.ops_token import bearer
from router.store.health.judgement import Check
from router.store.health.survey import Ask, reply_if_allowed

_PINGS = 5

_Answer = TypeVar("_Answer")


async def talk_to(name: str, ask: Ask) -> Iterator[Check]:
    """Judge how it is to talk to a server for a moment; raises StoreUnavailable when it does not answer."""
    ahead = await _ahead(ask)  # first, so that connecting is not measured
    return judge_conversation(name, await _round_trip(ask), ahead, await _user(ask))


def look_at_spool(folder: Path) -> SpoolFolder:
    """Look at a folder that need not be there, and make nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    waiting: list[SpooledFile] = []
    held: list[SpooledFile] = []
    for file in (files := sorted(folder.glob("*.db"))):
        _look_at(file, waiting, held)
    return SpoolFolder(folder, writable, shutil.disk_usage(there).free, sum(map(_size, files)), waiting, held)


async def ask_ingresses(settings: Settings) -> list[Ingress]:
    """Return what the ingresses that answer on the operations ports of the settings say of their spools and secrets."""
    return await _ask_all(settings, "ingress", "metrics", _of_ingress)


async def ask_workers(settings: Settings) -> list[Check]:
    """Return what the workers warn of about their subscriptions that answer on the operations ports of the settings.

    What several say, who all see the same store, is there once.
    """
    asked = [await _ask_all(settings, role, "readyz", _of_worker) for role in ("worker", "forward")]
    return list({(check.name, check.detail): check for found in asked for check in found}.values())


async def _ask_all(
    settings: Settings, role: str, page: str, read: Callable[[aiohttp.ClientResponse], Awaitable[list[_Answer]]]
) -> list[_Answer]:
    """Return what is read of a page of each process in a role.

    The token goes only to a process that says that it is in the role: another program may have the port.
    """

    async def ask(url: str) -> list[_Answer]:
        try:
            async with session.get(f"{url}/healthz", allow_redirects=False) as response:
                if _process(response)[0] != role:
                    return []
            async with session.get(f"{url}/{page}", headers=bearer(settings.ops), allow_redirects=False) as response:
                return await read(response)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, AttributeError):  # of a stranger
            return []

    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        found = await asyncio.gather(*(ask(port.url) for port in ops_ports(settings)))
    return [answer for answers in found for answer in answers]


async def _of_worker(response: aiohttp.ClientResponse) -> list[Check]:
    _, name = _process(response)
    report = await response.json()
    checks, warnings = report.get("checks", {}), report.get("warnings", {})
    return [judge_warning(name, key, str(text)) for key, text in warnings.items() if key in checks]


async def _of_ingress(response: aiohttp.ClientResponse) -> list[Ingress]:
    """Read what an ingress says of itself; one without a spool says nothing of that."""
    _, name = _process(response)
    url = str(response.url.origin())
    if response.status == HTTPStatus.UNAUTHORIZED:
        return [Ingress(name, url, takes_token=False)]
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(await response.text()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[sample.labels.get("publisher", "")] = sample.value
    figures = [found.get(f"event_router_spool_{figure}") for figure in ("entries", "bytes", "age_seconds")]
    entries, size, age = (figure[""] if figure else None for figure in figures)
    read_at = found.get("event_router_settings_read_timestamp_seconds", {}).get("")
    secrets = {slug: int(number) for slug, number in found.get("event_router_secrets", {}).items()}
    events = None if entries is None else int(entries)
    return [Ingress(name, url, True, events, int(size or 0), age or 0.0, read_at, secrets)]


def _process(response: aiohttp.ClientResponse) -> tuple[str, str]:
    """Return role and name of the process that answered; both are empty for a stranger's."""
    role, _, name = response.headers.get(PROCESS_HEADER, "").partition(" ")
    return role, unquote(name)


def _look_at(file: Path, waiting: list[SpooledFile], held: list[SpooledFile]) -> None:
    """Take note of a file in which something waits, or whose ingress runs."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=0)) as database:
            (events,) = database.execute("SELECT COUNT(*) FROM waiting").fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            held.append(SpooledFile(file, _size(file)))
        elif "no such table" not in str(error):
            waiting.append(SpooledFile(file, _size(file)))
    else:
        if events:
            waiting.append(SpooledFile(file, _size(file), events))


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
    if (reply := await reply_if_allowed(ask, "TIME")) is None:
        return None
    seconds, microseconds = reply
    return float(seconds) + float(microseconds) / 1e6 - (before + time.time()) / 2


async def _user(ask: Ask) -> str | None:
    reply = await reply_if_allowed(ask, "ACL WHOAMI")
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply and str(reply)
