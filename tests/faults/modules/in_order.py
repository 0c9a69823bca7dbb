"""A subscription that handles one event after the other, in the order of their streams."""

import asyncio
import os
from pathlib import Path

from faults.ledger import Writer

from workers import Delivery, Subscription

in_order = Subscription("in-order", events=os.environ["FAULTS_STREAMS"].split(), concurrency=1)
_writer = Writer(Path(os.environ["FAULTS_LEDGER"]), "in-order")


@in_order.handler
async def handle(delivery: Delivery) -> None:
    """Handle an event, alone."""
    await asyncio.sleep(0)
    _writer.note([(delivery.event.id, delivery.attempt)])
