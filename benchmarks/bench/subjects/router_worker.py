"""The worker module that ours runs: SUBSCRIPTIONS of them, on EVENTS; with KEY, with COALESCE of `quiet,within`.

With POISON the events of every hundredth number fail for ever: all of a key where the keys are a multiple of 100.
"""

import asyncio
import os
from typing import Any

from ledger import DELAY, note
from workers import Coalesce, Delivery, Event, Retry, Subscription

POISON = int(os.environ.get("POISON", "-1"))
"""What is left of a poisonous event's number when it is divided by 100."""


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


async def handle_merged(delivery: Delivery) -> None:
    """Note an event for all that it stands for, at each attempt; fail where it is poison."""
    note(delivery.event.id, [merged.id for merged in delivery.merged])
    if int(delivery.event.id[-12:], 16) % 100 == POISON:
        raise ValueError("poison")
    if DELAY:
        await asyncio.sleep(DELAY)


def _order() -> dict[str, Any]:
    options: dict[str, Any] = {"key": os.environ["KEY"]} if "KEY" in os.environ else {}
    if "COALESCE" in os.environ:
        quiet, within = map(float, os.environ["COALESCE"].split(","))
        options["coalesce"] = Coalesce(quiet=quiet, within=within)
    if "POISON" in os.environ:
        options["retry"] = Retry(max_attempts=4, first_delay=0.2, max_delay=1.0)
    return options


def _subscription(number: int, of: int) -> Subscription:
    name = "bench" if of == 1 else f"bench-{number}"
    made = Subscription(name, events=os.environ.get("EVENTS", "*/*").split(","), concurrency=100, **_order())

    async def named(event: Event) -> None:
        await handle_of(event, name)

    alone = handle_merged if "COALESCE" in os.environ or "POISON" in os.environ else handle
    made.handler(alone if of == 1 else named)
    return made


_NUMBER = int(os.environ.get("SUBSCRIPTIONS", "1"))
for _number in range(_NUMBER):
    globals()[f"subscription_{_number}"] = _subscription(_number, _NUMBER)
