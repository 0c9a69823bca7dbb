"""The worker in `examples/`, as its page says to run it."""

import sys
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.postgres import Postgres
from support.processes import System, running_system
from support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.postgres]

EXAMPLE = Path(__file__).parents[2] / "examples" / "mirror_customers.py"
MOST_LINES = 40


@pytest.fixture
async def system(tmp_path: Path, postgres: Postgres) -> AsyncIterator[System]:
    """Yield a system on the fake ERP and a Postgres."""
    with psycopg.connect(postgres.conninfo) as connection:
        connection.execute("DROP TABLE IF EXISTS customers, changes, event_router_once")
    url = f"postgresql://postgres@/postgres?host={postgres.folder}"
    async with running_system(tmp_path, DATABASE_URL=url) as running:
        await running.start("fake-erp", "--port", "0")
        await eventually(lambda: running.logs().count("export ROUTER_ERP__") == 4)
        lines = [line.strip() for line in running.logs().splitlines() if "export ROUTER_ERP__" in line]
        running.environment |= dict(line.removeprefix("export ").split("=", 1) for line in lines)
        yield running


def notification(number: int) -> dict[str, Any]:
    """Return a notification of a customer."""
    path = f"v1/customer/{number}"
    return {"notificationId": f"n{number}", "event": "customer_changed", "relativeResourceUri": path, "TenantId": "t1"}


async def test_customers_are_mirrored(system: System, postgres: Postgres) -> None:
    """The tables are made, and a worker mirrors what it is sent; a change that is sent twice is logged once."""
    made = await create_subprocess_exec(
        *(sys.executable, str(EXAMPLE)), env=system.environment, cwd=system.folder, stdin=DEVNULL
    )
    assert await made.wait() == 0
    await system.start("up", str(EXAMPLE))
    await system.ready()
    for _ in range(2):
        await system.post([notification(number) for number in range(20)])

    def mirrored() -> bool:
        with psycopg.connect(postgres.conninfo) as connection:
            return connection.execute("SELECT count(*) FROM customers").fetchall() == [(20,)]

    await eventually(mirrored, timeout=60)
    with psycopg.connect(postgres.conninfo) as connection:
        found = connection.execute("SELECT id, body ->> 'name' FROM customers WHERE id = '7'").fetchall()
        logged = connection.execute("SELECT event_id FROM changes").fetchall()
    assert found == [("7", "Customer 7")]
    assert sorted(logged) == sorted((f"n{number}",) for number in range(20))


def test_the_example_is_as_short_as_its_page_says() -> None:
    """What a reader has to write, without the making of tables and blank lines, is no more than forty lines."""
    lines = EXAMPLE.read_text(encoding="utf-8").partition("async def make_tables")[0].splitlines()
    assert len([line for line in lines if line.strip()]) <= MOST_LINES
