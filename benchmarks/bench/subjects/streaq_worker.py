"""streaq; with `fill FILE`, what enqueues the bodies in the file."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from streaq import Worker

from ledger import DELAY, note

_CONCURRENCY = int(os.environ.get("CONCURRENCY", "100"))
worker: Worker[Any] = Worker(
    redis_url=os.environ["REDIS_URL"], concurrency=_CONCURRENCY, anyio_kwargs={"use_uvloop": True}
)


@worker.task(ttl=0)
async def handle(event: dict[str, Any]) -> None:
    """Note an event."""
    note(event["NotificationId"])
    if DELAY:
        await asyncio.sleep(DELAY)


async def fill(file: Path) -> None:
    """Enqueue what the file holds, in pipelines."""
    lines = file.read_bytes().splitlines()
    async with worker:
        for start in range(0, len(lines), 500):
            await worker.enqueue_many([handle.enqueue(json.loads(line)) for line in lines[start : start + 500]])


if sys.argv[1:2] == ["fill"]:
    asyncio.run(fill(Path(sys.argv[2])))
else:
    worker.run_sync()
