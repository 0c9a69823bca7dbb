"""Workers killed between the commit of an effect and its acknowledgement: each effect is there once all the same."""

import asyncio
import json
import os
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from support.crashing import KILLED, STREAM, Plan
from support.postgres import Postgres

from router.store import scripts
from router.store.client import Store
from workers import once

pytestmark = pytest.mark.real

TABLE = "CREATE TABLE effects (id TEXT NOT NULL)"
PROGRAM = Path(__file__).parents[1] / "support" / "crashing.py"
FEW = 12
HUNDRED = pytest.param(100, marks=pytest.mark.long)
THOUSAND = pytest.param(1000, marks=pytest.mark.campaign)


class Effects:
    """The database in which effects are made, and what is there."""

    def __init__(self, folder: Path, conninfo: str) -> None:
        self.folder = folder
        self.conninfo = conninfo

    def make(self) -> None:
        """Make the tables."""
        if self.conninfo:
            with psycopg.connect(self.conninfo) as connection:
                connection.execute("DROP TABLE IF EXISTS effects, event_router_once")
                connection.execute(TABLE)
                once.create(connection)
        else:
            with closing(sqlite3.connect(self.folder / "effects.db")) as connection, connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(TABLE)
                once.create(connection)

    def rows(self) -> Counter[str]:
        """Return how many rows each event has."""
        if self.conninfo:
            with psycopg.connect(self.conninfo) as connection:
                return Counter(row[0] for row in connection.execute("SELECT id FROM effects"))
        with closing(sqlite3.connect(self.folder / "effects.db")) as connection:
            return Counter(row[0] for row in connection.execute("SELECT id FROM effects"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.long])])
def effects(request: pytest.FixtureRequest, tmp_path: Path) -> Effects:
    """Yield an empty database of each kind."""
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    found = Effects(tmp_path, server.conninfo if server else "")
    found.make()
    return found


async def crashed(store: Store, url: str, effects: Effects, number: int, **options: Any) -> int:
    """Have so many events handled by workers that are killed; return how many were killed."""
    fields: list[scripts.Field] = []
    markers = []
    for place in range(number):
        id_ = f"e{place}"
        raw = {"event": "customer_changed", "notificationId": id_, "resourceUri": f"v1/customer/{place % 20}"}
        fields += ["id", id_, "at", int(time.time() * 1000), "raw", json.dumps(raw)]
        markers.append(store.keys.seen(STREAM, id_))
    await store.call(scripts.append(store.keys.events(STREAM), markers, fields, 600_000))
    plan = Plan(url, store.keys.prefix, str(effects.folder), effects.conninfo, **options)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROGRAM), msgspec.json.encode(plan).decode()),
        env={**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])},
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return int((effects.folder / KILLED).read_text())


@pytest.mark.parametrize("kills", [FEW, HUNDRED, THOUSAND])
async def test_each_effect_is_made_once(real_store: Store, server_url: str, effects: Effects, kills: int) -> None:
    """Events kill their workers once they are committed; there are as many rows as events, one of each.

    More events than kills: one whose worker was killed by another between the two finds its effect made.
    """
    events = kills * 3 // 2
    killed = await crashed(real_store, server_url, effects, events)
    assert killed >= kills
    assert effects.rows() == {f"e{place}": 1 for place in range(events)}


@pytest.mark.parametrize("number", [2 * FEW, pytest.param(200, marks=pytest.mark.long)])
async def test_each_of_a_merged_burst_is_made_once(
    real_store: Store, server_url: str, effects: Effects, number: int
) -> None:
    """So it is where one delivery stands for several events, in other company after each crash."""
    killed = await crashed(real_store, server_url, effects, number, merges=True)
    assert killed
    assert effects.rows() == {f"e{place}": 1 for place in range(number)}


@pytest.mark.long
async def test_without_once_an_effect_is_made_twice(real_store: Store, server_url: str, effects: Effects) -> None:
    """The kills are where they should be: each effect without a marker is there twice, or more often."""
    await crashed(real_store, server_url, effects, FEW, once=False)
    assert min(effects.rows().values()) >= 2
