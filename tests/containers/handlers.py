"""What the workers run while it is proved that nothing is lost: it notes every event, and buries some at first.

It runs inside the containers, beside `faults/ledger.py`, which is mounted next to it.
"""

import os
from pathlib import Path
from zlib import crc32

from ledger import Writer  # type: ignore[import-not-found]
from workers import DeadLetter, Delivery, Subscription

FOLDER = Path(os.environ.get("LEDGER", "/ledger"))
MENDED = FOLDER / "mended"
"""While this file is not there, some events are given up."""

noted = Subscription("noted", events=["*"], concurrency=64)
_writer = Writer(FOLDER, noted.name)


@noted.handler
async def note(delivery: Delivery) -> None:
    """Write the event's id down, unless it is one that only a mended handler can handle."""
    if crc32(delivery.event.id.encode()) % 50 == 0 and not MENDED.exists():
        raise DeadLetter("not mended yet")
    _writer.note([(delivery.event.id, delivery.attempt)])
