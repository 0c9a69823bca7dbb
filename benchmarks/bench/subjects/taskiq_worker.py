"""taskiq on a Redis stream: its own command line runs `broker`; with `fill FILE`, what sends the bodies in the file."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from taskiq_redis import RedisStreamBroker

from ledger import DELAY, note

broker = RedisStreamBroker(os.environ["REDIS_URL"], consumer_id="0", max_connection_pool_size=100)


@broker.task(task_name="handle")
async def handle(event: dict[str, Any]) -> None:
    """Note an event."""
    note(event["NotificationId"])
    if DELAY:
        await asyncio.sleep(DELAY)


async def fill(file: Path) -> None:
    """Send what the file holds, a hundred at once."""
    await broker.startup()
    lines = file.read_bytes().splitlines()
    for start in range(0, len(lines), 100):
        await asyncio.gather(*(handle.kiq(json.loads(line)) for line in lines[start : start + 100]))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(fill(Path(sys.argv[2])))
