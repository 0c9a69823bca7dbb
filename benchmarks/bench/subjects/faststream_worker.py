"""FastStream on a Redis stream with a consumer group; with `fill FILE`, what publishes the bodies in the file."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any

import uvloop
from faststream import FastStream
from faststream.redis import RedisBroker, StreamSub

from ledger import DELAY, note

broker = RedisBroker(os.environ["REDIS_URL"], log_level=logging.DEBUG, logger=None)


@broker.subscriber(
    stream=StreamSub("events", group="bench", consumer="c1", last_id="0", max_records=100, polling_interval=1000),
    max_workers=int(os.environ["CONCURRENCY"]) if DELAY else 1,  # a fifth faster where nothing waits
)
async def handle(event: dict[str, Any]) -> None:
    """Note an event."""
    note(event["NotificationId"])
    if DELAY:
        await asyncio.sleep(DELAY)


async def fill(file: Path) -> None:
    """Publish what the file holds, in pipelines."""
    lines = file.read_bytes().splitlines()
    await broker.connect()
    for start in range(0, len(lines), 500):
        async with broker._connection.pipeline() as pipe:  # noqa: SLF001 - as its documentation does
            for line in lines[start : start + 500]:
                await broker.publish(line, stream="events", pipeline=pipe, headers={"content-type": "application/json"})
            await pipe.execute()


if sys.argv[1:2] == ["fill"]:
    asyncio.run(fill(Path(sys.argv[2])))
else:
    uvloop.run(FastStream(broker).run())
