"""Workers that are killed between the commit of an effect and its acknowledgement, again and again.

Run as a program with one argument, what is in `Plan` as JSON. It makes a worker by a fork, so that a thousand of them
start in minutes, and another one whenever one was killed; it ends once all events are finished, and writes down how
many were.
"""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

import msgspec
import psycopg
from prometheus_client import CollectorRegistry
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store, connect
from router.store.keys import Keys
from workers import Coalesce, Delivery, Retry, Subscription, once
from workers.exactly_once.marks import marks_of
from workers.keyed.consumer import KeyedConsumer
from workers.keyed.leftover import UnkeyedConsumer
from workers.metrics import WorkerMetrics
from workers.state.overview import holdings

__all__ = ["KILLED", "STREAM", "Plan"]

STREAM = "visma-net-financial/customer_changed"
KILLED = "killed"
"""The file in the folder that says how many workers were killed."""
_INSERT = "INSERT INTO effects VALUES ('{}')"


class Plan(msgspec.Struct):
    """What to do: on which store, into which database (`conninfo`, else the SQLite file), with `once` or without.

    merges: of a keyed subscription that merges bursts. Each first delivery kills its worker after the commit, and one
    of ten before it, too.
    """

    url: str
    prefix: str
    folder: str
    conninfo: str = ""
    once: bool = True
    merges: bool = False


def main(plan: Plan) -> None:
    """Make one worker after the other until one has ended well."""
    catalogue = Catalogue.load()
    killed = 0
    while True:
        pid = os.fork()
        if not pid:
            asyncio.run(_work(plan, catalogue))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            (Path(plan.folder) / KILLED).write_text(str(killed))
            return
        killed += 1


async def _work(plan: Plan, catalogue: Catalogue) -> None:
    """Handle events until all are finished."""
    store = connect(plan.url, Keys(plan.prefix), connect_timeout=30, timeout=60)
    try:
        subscription = _subscription(plan)
        settings = WorkerSettings(lease=2, block=0.1, sweep_interval=1, shutdown_timeout=5)
        kind = KeyedConsumer if subscription.keyed else UnkeyedConsumer
        metrics = WorkerMetrics(CollectorRegistry())
        consumer = kind(subscription, "c1", store, catalogue, settings, metrics, returning=True)
        await consumer.start()
        await eventually(lambda: _is_finished(store), timeout=600, interval=0.1)
        await consumer.stop()
    finally:
        await store.aclose()


async def _is_finished(store: Store) -> bool:
    found = await holdings(store, [STREAM], "sub")
    return bool(found) and not any(way.lag or way.pending or way.scheduled for way in found)


def _subscription(plan: Plan) -> Subscription:
    options: dict[str, Any] = {"key": "resource", "coalesce": Coalesce(quiet=0, within=0)} if plan.merges else {}
    retry = Retry(max_attempts=100_000, first_delay=0, max_delay=0.01)
    made = Subscription("sub", events=[STREAM], retry=retry, concurrency=3, **options)
    doom = Doom(Path(plan.folder))

    @made.handler
    async def handle(delivery: Delivery) -> None:
        if plan.conninfo:
            async with await psycopg.AsyncConnection.connect(plan.conninfo) as connection:
                await _effect(plan, delivery, connection, doom)
        else:
            await asyncio.to_thread(_effect_in_file, plan, delivery, doom)
        doom.strike(delivery, "after")

    return made


async def _effect(plan: Plan, delivery: Delivery, connection: Any, doom: "Doom") -> None:
    block: Any = once(delivery, connection) if plan.once else _transaction(connection, delivery)
    async with block as new:
        for mark in new:
            await connection.execute(_INSERT.format(mark.event_id))
        doom.strike(delivery, "before")


@asynccontextmanager
async def _transaction(connection: Any, delivery: Delivery) -> AsyncIterator[list[Any]]:
    async with connection.transaction():
        yield marks_of(delivery)


def _effect_in_file(plan: Plan, delivery: Delivery, doom: "Doom") -> None:
    with (
        closing(sqlite3.connect(Path(plan.folder) / "effects.db", timeout=60)) as connection,
        connection,
        once(delivery, connection) if plan.once else nullcontext(marks_of(delivery)) as new,
    ):
        for mark in new:
            connection.execute(_INSERT.format(mark.event_id))
        doom.strike(delivery, "before")


class Doom:
    """Kills this process at the first delivery of each event, and writes that down where the next one sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one = Lock()

    def strike(self, delivery: Delivery, where: str) -> None:
        """Kill this process, if this event has not done so here before."""
        id_ = delivery.event.id
        if where == "before" and Random(id_).random() > 0.1:
            return
        with self._one:  # each kill is of one event, though handlers run in threads
            try:
                (self._folder / f"{where}-{id_}").touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Plan))
