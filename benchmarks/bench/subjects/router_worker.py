"""The worker module that ours runs: SUBSCRIPTIONS of them, on EVENTS."""

import asyncio
import os

from ledger import DELAY, note
from workers import Event, Subscription


async def handle(event: Event) -> None:
    """Note an event, and wait like one that asks another system."""
    note(event.id)
    if DELAY:
        await asyncio.sleep(DELAY)


async def handle_of(event: Event, name: str) -> None:
    """Note what one of several subscriptions was given."""
    note(f"{event.id} {name}")
    if DELAY:
        await asyncio.sleep(DELAY)


def _subscription(number: int, of: int) -> Subscription:
    name = "bench" if of == 1 else f"bench-{number}"
    made = Subscription(name, events=os.environ.get("EVENTS", "*/*").split(","), concurrency=100)

    async def named(event: Event) -> None:
        await handle_of(event, name)

    made.handler(handle if of == 1 else named)
    return made


_NUMBER = int(os.environ.get("SUBSCRIPTIONS", "1"))
for _number in range(_NUMBER):
    globals()[f"subscription_{_number}"] = _subscription(_number, _NUMBER)
