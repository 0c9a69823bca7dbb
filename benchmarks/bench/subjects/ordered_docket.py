"""docket: LIMITED=1 with one at a time for each customer, else without."""

import asyncio
import os
from datetime import timedelta

import ordered
from docket import ConcurrencyLimit, Docket, Retry, Worker

_AGAIN = Retry(attempts=5, delay=timedelta(seconds=ordered.RETRY_AFTER))
_ONE = ConcurrencyLimit("customer", 1)


async def limited(customer: str, number: int, retry: Retry = _AGAIN, one: ConcurrencyLimit = _ONE) -> None:
    """Handle it while no other of its customer runs."""
    del retry, one  # which docket reads from the signature
    await ordered.handle(customer, number)


async def plain(customer: str, number: int, retry: Retry = _AGAIN) -> None:
    """Handle it."""
    del retry
    await ordered.handle(customer, number)


async def main() -> None:
    """Send all, and work on it."""
    task = limited if os.environ["LIMITED"] == "1" else plain
    async with Docket(name="ordered", url=os.environ["REDIS_URL"]) as docket:
        docket.register(task)
        for customer, number in ordered.jobs():
            await docket.add(task)(customer, number)
        async with Worker(docket, concurrency=10) as worker:
            await worker.run_forever()


if __name__ == "__main__":
    asyncio.run(main())
