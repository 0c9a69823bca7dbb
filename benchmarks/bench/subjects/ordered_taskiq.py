"""taskiq on a Redis stream, with its middleware that tries again after a while; the worker runs in this process."""

import asyncio
import os

import ordered
from taskiq import SmartRetryMiddleware
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ["REDIS_URL"], consumer_id="0").with_middlewares(
    SmartRetryMiddleware(default_retry_count=5, default_delay=ordered.RETRY_AFTER, use_jitter=False)
)


@broker.task(task_name="handle", retry_on_error=True)
async def handle(customer: str, number: int) -> None:
    """Handle it."""
    await ordered.handle(customer, number)


async def main() -> None:
    """Send all, and work on it."""
    await broker.startup()
    for customer, number in ordered.jobs():
        await handle.kiq(customer, number)
    broker.is_worker_process = True
    await run_receiver_task(broker, max_async_tasks=10, run_startup=True)


if __name__ == "__main__":
    asyncio.run(main())
