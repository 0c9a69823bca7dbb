"""Three ingresses on FastAPI, by what VARIANT asks for; uvicorn runs `app`."""

import base64
import hmac
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from faststream.redis import RedisBroker
from redis.asyncio import Redis

_URL = os.environ["REDIS_URL"]
_SECRET = os.environ["SECRET"].encode()
_WINDOW = 7 * 24 * 3600

broker = RedisBroker(_URL, logger=None)
client = Redis.from_url(_URL)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Connect the broker for as long as the application runs."""
    await broker.connect()
    yield
    await broker.stop()


async def publish(request: Request) -> dict[str, int]:
    """Publish the body through FastStream."""
    await broker.publish(await request.body(), stream="events")
    return {"accepted": 1}


async def append(request: Request) -> dict[str, int]:
    """Append the body to the stream."""
    await client.xadd("events", {"raw": await request.body()})
    return {"accepted": 1}


async def append_once(request: Request) -> dict[str, int]:
    """Verify the body, and append it to the stream unless its id is known."""
    body = await request.body()
    signature = base64.b64encode(hmac.digest(_SECRET, body, "sha256")).decode()
    if not hmac.compare_digest(signature, request.headers.get("x-vwd-signature-v1", "")):
        raise HTTPException(401)
    if not await client.set(f"seen:{json.loads(body)['NotificationId']}", 1, nx=True, ex=_WINDOW):
        return {"accepted": 0}
    await client.xadd("events", {"raw": body})
    return {"accepted": 1}


app = FastAPI(lifespan=lifespan)
app.post("/webhooks/{publisher}", status_code=202)(
    {"publish": publish, "append": append, "append_once": append_once}[os.environ["VARIANT"]]
)
