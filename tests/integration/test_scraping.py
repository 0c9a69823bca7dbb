"""Metrics of several processes: each is known in advance to who scrapes, and their sums are right."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.metric_tables import all_rows
from support.ports import reserve
from support.processes import System, running_system
from support.scraping import Prometheus
from support.servers import Server
from support.waiting import eventually

ABSENT = re.compile("event_router_(forward_|archived_|archive_failures_)")
FINANCIAL = "visma-net-financial"
HANDLERS = """
sync = Subscription("sync", events=["*/customer_changed"])

@sync.handler
async def handle(event: Event) -> None:
    note("sync", event)
"""


@pytest.fixture
async def system(server: Server, tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system on it, with nothing running."""
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url) as system:
        yield system


@pytest.mark.long
async def test_the_children_of_up_share_out_its_ports(system: System) -> None:
    """With ops.port at N, the ingress processes have N and N+1, the worker N+2; what each counts adds up to all."""
    module = system.module(HANDLERS)
    await system.start("up", module, ROUTER_INGRESS__PROCESSES="2")
    ports = [system.ops + number for number in range(3)]
    for port in ports:
        await system.ready(port)
    jobs = ("event-router-ingress", "event-router-ingress", "event-router-worker")
    prometheus = Prometheus(*zip(jobs, ports, strict=True))
    await prometheus.begin()
    sent = 0

    async def both_have_some() -> bool:
        nonlocal sent
        items = [{"notificationId": f"n{sent}-{number}", "event": "customer_changed"} for number in range(5)]
        assert (await system.post(items))[0] == 202  # a connection of its own, which any of them may get
        sent += 1
        await prometheus.scrape()
        return all(
            prometheus.value(f'sum(event_router_items_total{{instance="127.0.0.1:{port}",outcome="accepted"}}) > 0')
            for port in ports[:2]
        )

    await eventually(both_have_some)

    async def all_done() -> bool:
        await prometheus.scrape()
        return prometheus.value('sum(event_router_outcomes_total{outcome="done"})') == 5 * sent

    await eventually(all_done)
    assert prometheus.value('sum(increase(event_router_items_total{outcome="accepted"}[1h]))') == 5 * sent
    assert prometheus.value('sum(event_router_requests_total{status="2xx"})') == sent
    assert prometheus.value("sum(event_router_accept_seconds_count)") == sent
    assert prometheus.value("sum(event_router_append_batch_items_sum)") == 5 * sent
    assert prometheus.value("sum(event_router_deliveries_total)") == 5 * sent
    assert prometheus.value("sum(event_router_queue_seconds_count)") == 5 * sent
    assert prometheus.value("sum(event_router_build_info)") == 3


async def test_what_is_documented_is_told(system: System) -> None:
    """A running ingress and a running worker tell each metric of the table, and no other of ours.

    Only those of forwards and of an archive are told where there is one.
    """
    ports = [system.ops, reserve()]
    await system.start("ingress")
    await system.start("worker", system.module(HANDLERS), ROUTER_OPS__PORT=str(ports[1]))
    rows = await all_rows()
    for port, tables in zip(ports, (("process", "ingress"), ("process", "worker", "store")), strict=True):
        await system.ready(port)
        async with aiohttp.ClientSession() as session, session.get(system.ops_url("/metrics", port)) as response:
            told = re.findall(r"^# TYPE (event_router_\w+) \w+$", await response.text(), re.MULTILINE)
        documented = {row.name for table in tables for row in rows[table] if not ABSENT.match(row.name)}
        assert {name for name in told if not name.endswith("_created")} == documented


async def test_figures_of_the_store_do_not_add_up(system: System) -> None:
    """Each of two workers tells the same of the store: the largest is right, the sum would be twice that."""
    module = system.module(HANDLERS)
    ports = [system.ops, reserve()]
    for port in ports:
        await system.start("worker", module, ROUTER_OPS__PORT=str(port))
    for port in ports:
        await system.ready(port)
    prometheus = Prometheus(*(("event-router-worker", port) for port in ports))

    async def both_live() -> bool:
        await prometheus.scrape()
        return prometheus.value("max(event_router_subscription_workers)") == 2

    await eventually(both_live, interval=0.5)
    assert prometheus.value("sum(event_router_store_up)") == 2
    assert prometheus.value("max(event_router_store_up)") == 1


async def commands(server: Server) -> int:
    """Return how many commands the server has run."""
    return int((await asyncio.to_thread(server.ask, "INFO", "stats"))["total_commands_processed"])


async def quiet(server: Server) -> None:
    """Wait until the server has run next to nothing for half a second."""
    before = 0

    async def is_quiet() -> bool:
        nonlocal before
        last, before = before, await commands(server)
        return before - last < 10

    await eventually(is_quiet, interval=0.5)


async def test_nobody_scrapes_and_the_store_is_not_asked(system: System, server: Server) -> None:
    """The figures of the store are asked for by the scrape, and by many of them at once but once."""
    await system.start("worker", system.module(HANDLERS))
    await system.ready()
    await quiet(server)  # a worker that has just started looks around by itself
    prometheus = Prometheus(*[("event-router-worker", system.ops)] * 5)
    began, before = time.monotonic(), await commands(server)
    await prometheus.scrape()
    once = await commands(server) - before
    await asyncio.gather(prometheus.scrape(), prometheus.scrape())
    looks = 1 + int((time.monotonic() - began) / 5)  # on a machine that takes so long, another one is due
    assert await commands(server) - before < (once + 50) * looks  # one look more would be some hundreds
    assert once > 60
