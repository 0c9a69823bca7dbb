"""The subscriptions under test, one of each kind; the folder of their ledger is in the environment.

They are a worker module: `event-router worker handlers.py`, with the folder of all tests on PYTHONPATH.
"""

import asyncio
import os
import time
from pathlib import Path

from faults.fates import dies, failures, gives_up
from faults.ledger import Writer

from workers import DeadLetter, Delivery, Retry, Subscription

FOLDER = Path(os.environ["FAULTS_LEDGER"])
EVENTS = os.environ["FAULTS_STREAMS"].split()
SECONDS = float(os.environ.get("FAULTS_SECONDS", "0.002"))
"""How long a handler takes."""

PATIENT = Retry(max_attempts=30, first_delay=0.05, max_delay=0.4)  # a killed worker's share must not end dead

plain = Subscription("plain", events=EVENTS, retry=PATIENT, concurrency=16)
retrying = Subscription("retrying", events=EVENTS, retry=PATIENT, concurrency=16)
batches = Subscription("batches", events=EVENTS, retry=PATIENT, concurrency=2, batch_size=50, batch_wait=0.02)
threads = Subscription("threads", events=EVENTS, retry=PATIENT, concurrency=4)
mortal = Subscription("mortal", events=EVENTS, retry=Retry(max_attempts=3, first_delay=0.05, max_delay=0.2))

_plain, _retrying, _batches, _threads, _mortal = (
    Writer(FOLDER, name) for name in ("plain", "retrying", "batches", "threads", "mortal")
)


@plain.handler
async def handle(delivery: Delivery) -> None:
    """Handle, as most do."""
    await asyncio.sleep(SECONDS)
    _plain.note([(delivery.event.id, delivery.attempt)])


@retrying.handler
async def retry(delivery: Delivery) -> None:
    """Fail as often as the event's id says, then handle it."""
    await asyncio.sleep(SECONDS)
    if len(delivery.errors) < failures(delivery.event.id):
        raise ValueError(f"no customer yet for {delivery.event.id}")
    _retrying.note([(delivery.event.id, delivery.attempt)])


@batches.handler
async def collect(deliveries: list[Delivery]) -> None:
    """Handle a whole batch at its end."""
    await asyncio.sleep(SECONDS)
    _batches.note([(delivery.event.id, delivery.attempt) for delivery in deliveries])


@threads.handler
def block(delivery: Delivery) -> None:
    """Handle in a thread."""
    time.sleep(SECONDS)
    _threads.note([(delivery.event.id, delivery.attempt)])


@mortal.handler
async def bury(delivery: Delivery) -> None:
    """Handle all but the events that are meant to die."""
    await asyncio.sleep(SECONDS)
    if gives_up(delivery.event.id):
        raise DeadLetter("meant to die")
    if dies(delivery.event.id):
        raise ValueError("fails for ever")
    _mortal.note([(delivery.event.id, delivery.attempt)])
