"""The keyed subscriptions under test, one of each kind; the folder of their ledgers is in the environment.

A process stops itself (SIGSTOP) where a file in that folder asks for it: between the two hops of an event, or the steps
of a burial. What is done to it there is up to the faults: see `faults.points`.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from faults.fates import failures, gives_up
from faults.ledger import Writer
from faults.points import stop_where_asked
from faults.turns import TurnWriter

from workers import Coalesce, DeadLetter, Delivery, Event, Retry, Subscription

FOLDER = Path(os.environ["FAULTS_LEDGER"])
EVENTS = os.environ["FAULTS_STREAMS"].split()
SECONDS = max(0.005, float(os.environ.get("FAULTS_SECONDS", "0")))
"""How long a handler takes."""

PATIENT = Retry(max_attempts=30, first_delay=0.05, max_delay=0.4)  # a killed worker's share must not end dead


def few(event: Event) -> str:
    """Return one of a few keys, so that there is always one for which something waits."""
    return f"{(event.resource_id or '')[-2:]}"


def resource(event: Event) -> str:
    """Return what `key="resource"` orders by."""
    return f"{event.tenant_id}/{event.company_id}/{event.resource}"


in_turn = Subscription("in-turn", events=EVENTS, key="resource", retry=PATIENT, concurrency=16)
latest = Subscription(
    "latest", events=EVENTS, key="resource", coalesce=Coalesce(quiet=0.3, within=2), retry=PATIENT, concurrency=16
)
grouped = Subscription("grouped", events=EVENTS, key=few, retry=PATIENT, concurrency=2, batch_size=8, batch_wait=0.02)
shared = Subscription("shared", events=EVENTS, key=few, per_company=3, retry=PATIENT, concurrency=8)

_ledgers = {
    one.name: (Writer(FOLDER, one.name), TurnWriter(FOLDER, one.name)) for one in (in_turn, latest, grouped, shared)
}


@in_turn.handler
async def take_turns(delivery: Delivery) -> None:
    """Handle one event of a resource after the other; some fail at first, and some die."""
    await _handle("in-turn", [resource(delivery.event)], [delivery])


@latest.handler
async def take_the_latest(delivery: Delivery) -> None:
    """Handle the newest event of a resource for all before it; some fail at first, and some die."""
    await _handle("latest", [resource(delivery.event)], [delivery])


@grouped.handler
async def take_many(deliveries: list[Delivery]) -> None:
    """Handle a batch, of each key one event at most."""
    await _handle("grouped", [few(delivery.event) for delivery in deliveries], deliveries)


@shared.handler
async def take_some(delivery: Delivery) -> None:
    """Handle what the limit of its company leaves room for."""
    await _handle("shared", [few(delivery.event)], [delivery])


async def _handle(name: str, keys: Sequence[str], deliveries: Sequence[Delivery]) -> None:
    handled, turns = _ledgers[name]
    with turns.turn(keys, deliveries):
        await asyncio.sleep(SECONDS)
        for delivery in deliveries if name in ("in-turn", "latest") else ():
            id_ = delivery.event.id
            if gives_up(id_):
                raise DeadLetter("meant to die")
            if len(delivery.errors) < failures(id_):
                raise ValueError(f"no customer yet for {id_}")
        merged = [merged.id for one in deliveries for merged in one.merged]
        handled.note([*((id_, 0) for id_ in merged), *((one.event.id, one.attempt) for one in deliveries)])


stop_where_asked(FOLDER)
