"""What an operator waits for: listing, counting and replaying very many dead letters."""

import asyncio
import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from bench import filling
from bench.bodies import STREAM
from bench.ours import Router
from bench.plan import Plan, Samples, WorkNotDone
from bench.servers import Server
from router.events.catalogue import Catalogue
from router.store.client import connect
from router.store.keys import Keys
from workers.operations.dead_letters.letters import DeadLetters
from workers.operations.dead_letters.selector import Selector

__all__ = ["NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "Operator"
REFERENCE = ""
NOTES = (
    "Commands of the command line as an operator runs them, over so many dead letters of one subscription. The seconds "
    "hold the start of the interpreter; the first page in the store is timed without it. Filtered: the hundredth part "
    "with another error."
)
_PAGE = 20


class _Ran(NamedTuple):
    """A command: seconds until its first line and until its end, its largest memory in MiB, and what it said."""

    first: float
    seconds: float
    peak: float
    said: str


def run(plan: Plan, samples: Samples) -> None:
    """Run each command over freshly filled dead letters."""
    number = plan.pick(10_000, 100_000, 1_000_000)
    for _ in range(plan.pick(1, 1, 3)):
        with tempfile.TemporaryDirectory(prefix="bench-") as name, Server(Path(name)) as server:
            filling.finished(server.client, 1)
            server.client.xgroup_create(filling.KEYS.inbox(STREAM, filling.GROUP), filling.GROUP, "0", mkstream=True)
            filling.dead_letters(server.client, number)
            try:
                _commands(Router(server, Path(name)), server, number, samples)
            except WorkNotDone as error:
                samples.problem(str(error))


def _commands(router: Router, server: Server, number: int, samples: Samples) -> None:
    listed = _run(router, "dlq", "list")
    in_store = asyncio.run(_first_page(server.url)) * 1000
    measures = {"ms in the store": in_store, "first row s": listed.first, "s": listed.seconds, "MiB": listed.peak}
    samples.add("dlq list, dead letters", f"{number:,}", measures)
    counted = _run(router, "dlq", "stats", "--json")
    if sum(group["count"] for group in json.loads(counted.said)) != number:
        raise WorkNotDone(f"dlq stats did not count {number}: {counted.said[:200]}")
    measures = {"letters/s": number / counted.seconds, "s": counted.seconds, "MiB": counted.peak}
    samples.add("dlq stats, dead letters", f"{number:,}", measures)
    some = number // 100
    _replay(router, samples, "dlq replay of a hundredth", some, number, "--error", "KeyError")
    rest = number - some
    _replay(router, samples, "dlq replay", rest, rest, "--subscription", filling.GROUP)


def _replay(router: Router, samples: Samples, name: str, expected: int, looked_at: int, *selector: str) -> None:
    ran = _run(router, "dlq", "replay", *selector, "--yes", "--json", "--reason", "benchmark")
    replayed = json.loads(ran.said)["replayed"]
    if replayed != expected:
        raise WorkNotDone(f"{name}: {replayed} of {expected} were replayed")
    rates = {"letters/s": looked_at / ran.seconds, "s": ran.seconds, "MiB": ran.peak}
    samples.add(f"{name}, dead letters", f"{looked_at:,}", rates)


async def _first_page(url: str) -> float:
    """Return the seconds that the newest dead letters take, as `dlq list` asks for them."""
    store = connect(url, Keys())
    letters = DeadLetters(store, Catalogue.load())
    await store.client.ping()
    started, found = time.perf_counter(), 0
    async for _ in letters.newest(Selector()):
        found += 1
        if found == _PAGE:
            break
    seconds = time.perf_counter() - started
    await store.aclose()
    return seconds


def _run(router: Router, *arguments: str) -> _Ran:
    """Run a command to its end; raises WorkNotDone when it fails."""
    command, environment = router.command(*arguments)
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    watched = threading.Thread(target=_watch, args=(process.pid, peaks := [0.0]))
    watched.start()
    head = process.stdout.readline()
    first = time.perf_counter() - started
    said = head + process.stdout.read()
    process.wait()
    seconds = time.perf_counter() - started
    watched.join()
    process.stdout.close()
    if process.returncode:
        raise WorkNotDone(f"{' '.join(arguments)} ended with {process.returncode}")
    return _Ran(first, seconds, max(peaks), said)


def _watch(pid: int, peaks: list[float]) -> None:
    """Note the most memory (MiB) that a process has had, until it ends; its `ru_maxrss` would begin with ours."""
    with contextlib.suppress(OSError, StopIteration):
        while True:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            peaks.append(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024)
            time.sleep(0.02)
