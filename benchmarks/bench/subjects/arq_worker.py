"""arq; with `fill FILE`, what enqueues the bodies in the file."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from ledger import DELAY, note

SETTINGS = RedisSettings.from_dsn(os.environ["REDIS_URL"])


async def handle(_context: dict[str, Any], event: dict[str, Any]) -> None:
    """Note an event."""
    note(event["NotificationId"])
    if DELAY:
        await asyncio.sleep(DELAY)


async def fill(file: Path) -> None:
    """Enqueue what the file holds, a hundred at once."""
    pool = await create_pool(SETTINGS)
    lines = file.read_bytes().splitlines()
    for start in range(0, len(lines), 100):
        await asyncio.gather(*(pool.enqueue_job("handle", json.loads(line)) for line in lines[start : start + 100]))


async def work() -> None:
    """Run the worker, with results thrown away and as many jobs at once as the others."""
    concurrency = int(os.environ["CONCURRENCY"])
    worker = Worker([handle], redis_settings=SETTINGS, max_jobs=concurrency, keep_result=0, log_results=False)
    await worker.async_run()


uvloop.run(fill(Path(sys.argv[2])) if sys.argv[1:2] == ["fill"] else work())
