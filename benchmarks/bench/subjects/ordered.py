"""What every handler of the comparison of order does: 20 ms of work, and the first event of each key fails once.

LEDGER is the file that it notes in, a line of JSON for each beginning and end: [key, number, what, seconds].
"""

import asyncio
import json
import os
import time
from pathlib import Path

KEYS, EVENTS = int(os.environ["KEYS"]), int(os.environ["EVENTS"])
RETRY_AFTER = 0.2  # seconds
WORK = 0.02  # seconds
_ledger = Path(os.environ["LEDGER"]).open("a", buffering=1)  # noqa: SIM115 - for as long as the process lives
_failed: set[tuple[str, int]] = set()


def note(key: str, number: int, what: str) -> None:
    """Note that a handler has begun, failed or ended."""
    _ledger.write(json.dumps([key, number, what, time.monotonic()]) + "\n")


async def handle(key: str, number: int) -> None:
    """Handle an event of a key; raises ValueError at the first attempt of its first one."""
    note(key, number, "began")
    await asyncio.sleep(WORK)
    if number == 0 and (key, number) not in _failed:
        _failed.add((key, number))
        note(key, number, "failed")
        raise ValueError("not yet")
    note(key, number, "ended")


def jobs() -> list[tuple[str, int]]:
    """Return what is to be handled, as it is sent: key by key."""
    return [(f"customer-{key}", number) for key in range(KEYS) for number in range(EVENTS)]
