"""Archives and trims one store again and again in a fork of itself, which is killed: `python -m`, a line for each fork.

A line is how long the fork runs, milliseconds, and after which of its steps it dies at once, 0 for none. A step is a
call of the store, or of the disk. A fork without either ends by itself, once nothing is left to do. The
answer is how it ended.
"""

import asyncio
import functools
import itertools
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from config.archive import ArchiveSettings
from config.settings import RetentionSettings
from router.events.catalogue import Catalogue
from router.store.client import Store, connect
from router.store.keys import Keys
from workers.archive.archive import open_archive
from workers.archive.archiver import Archiver
from workers.archive.folder import Folder
from workers.archive.metrics import ArchiveMetrics
from workers.metrics import WorkerMetrics
from workers.retention.round import Retention

WINDOW = 3600.0
ROUNDS = 1_000_000


async def run(url: str, prefix: str, folder: Path, rounds: int) -> None:
    """Do so many rounds of retention with an archive in a folder."""
    store = connect(url, Keys(prefix), connect_timeout=30, timeout=60)
    archive = open_archive(ArchiveSettings(to=folder.as_uri(), object_bytes=65_536))
    stopping, registry = asyncio.Event(), CollectorRegistry()
    archiver = Archiver(archive, store, int(WINDOW * 1000), ArchiveMetrics(registry), stopping)
    settings = RetentionSettings(events=WINDOW)
    retention = Retention(store, Catalogue.load(), settings, WorkerMetrics(registry), stopping, archiver)
    try:
        for _ in range(rounds):
            await retention.round()
    finally:
        await store.aclose()


def die_after(steps: int) -> None:
    """Kill this process right after so many steps."""
    left = itertools.count(steps - 1, -1)

    def dying(step: Any) -> Any:
        @functools.wraps(step)
        async def taken(*args: Any, **options: Any) -> Any:
            result = await step(*args, **options)
            if not next(left):
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return taken

    for owner, name in ((Store, "call"), (Store, "run"), (Folder, "_do")):
        setattr(owner, name, dying(getattr(owner, name)))


def main() -> None:
    """Fork for each line."""
    url, prefix, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    Catalogue.load()
    for line in sys.stdin:
        millis, steps = map(int, line.split())
        if not (child := os.fork()):
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as it lives
            if steps:
                die_after(steps)
            asyncio.run(run(url, prefix, folder, ROUNDS if millis or steps else 3))
            os._exit(0)
        if millis:
            threading.Event().wait(millis / 1000)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
