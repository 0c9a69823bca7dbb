"""Real processes on a server that closes connections which were idle for a second."""

from pathlib import Path

import pytest
from support.processes import running_system
from support.servers import Server, starting
from support.waiting import eventually

pytestmark = pytest.mark.real

MODULE = """
everything = Subscription("everything", events=["*/customer_changed"])

@everything.handler
async def handle(event: Event) -> None:
    note("everything", event)
"""


def closed(server: Server) -> int:
    """Return how many connections the server has closed because they were idle."""
    return server.log_file.read_text().count("Closing idle client")


@pytest.mark.parametrize("spool", [pytest.param("0", marks=pytest.mark.long), "1000000000"])
async def test_nobody_notices_that_idle_connections_are_closed(tmp_path: Path, spool: str) -> None:
    """Each webhook is answered 202 and handled, with a spool or without, and no log speaks of an outage."""
    with starting("--timeout", "1", "--loglevel", "verbose") as server:
        access = {"ROUTER_REDIS__URL": server.url, "ROUTER_INGRESS__SPOOL_MAX_BYTES": spool}
        async with running_system(tmp_path, **access) as system:
            await system.start("ingress")
            await system.ready()
            await system.start("worker", system.module(MODULE), ROUTER_OPS__PORT="0")
            for number in range(3):
                before = closed(server)
                status, _ = await system.post({"notificationId": f"n{number}", "event": "customer_changed"})
                assert status == 202
                await eventually(lambda wanted=f"n{number}": wanted in system.handled())
                await eventually(lambda count=before: closed(server) > count)
            log = system.logs()
            for word in ("append_failed", "spooling_started", "store_failed", "Traceback"):
                assert word not in log
