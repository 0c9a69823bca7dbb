"""The limit of a worker in Python: read a hundred, handle them, acknowledge them, and nothing else."""

import asyncio
import json
import os

import uvloop
from redis.asyncio import Redis

from ledger import DELAY, note

_STREAM, _GROUP = os.environ["STREAM"], "bench"


async def _handle(fields: dict[bytes, bytes]) -> None:
    note(json.loads(fields[b"raw"])["NotificationId"])
    if DELAY:
        await asyncio.sleep(DELAY)


async def _main() -> None:
    client = Redis.from_url(os.environ["REDIS_URL"])
    await client.xgroup_create(_STREAM, _GROUP, "0")
    while True:
        reply = await client.xreadgroup(_GROUP, "c1", {_STREAM: ">"}, count=100, block=1000)
        for _, entries in reply or ():
            if DELAY:
                await asyncio.gather(*(_handle(fields) for _, fields in entries))
            else:
                for _, fields in entries:
                    await _handle(fields)
            await client.xack(_STREAM, _GROUP, *(entry_id for entry_id, _ in entries))


uvloop.run(_main())
