"""Traces of real processes, sent to a collector: one from request to handler, and none that holds anything up."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.ports import reserve
from support.processes import System, running_system
from support.servers import Server
from support.waiting import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"
HANDLERS = """
sync = Subscription("sync", events=["*/customer_changed"])

@sync.handler
async def handle(event: Event) -> None:
    note("sync", event)
"""


class Collector:
    """Takes spans as a collector does; `spans` are their services, names and traces."""

    def __init__(self) -> None:
        self.port = reserve()
        self.spans: list[tuple[str, str, str]] = []

    async def take(self, request: web.Request) -> web.Response:
        """Note the spans of a request."""
        message = ExportTraceServiceRequest.FromString(await request.read())
        for resource in message.resource_spans:
            [service] = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for scope in resource.scope_spans:
                self.spans += [(service, span.name, span.trace_id.hex()) for span in scope.spans]
        return web.Response()


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Run a collector."""
    collector = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", collector.port).start()
    try:
        yield collector
    finally:
        await runner.cleanup()


async def run(server: Server, folder: Path, port: int, **environment: str) -> tuple[str, float]:
    """Run ingress and a worker that send spans to a port until they have handled an event; return logs and seconds."""
    tracing = {"ROUTER_TRACING__ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    async with running_system(folder, ROUTER_REDIS__URL=server.url, **tracing, **environment) as system:
        await system.start("ingress")
        await system.start("worker", system.module(HANDLERS), ROUTER_OPS__PORT=str(reserve()))
        await system.ready()
        await send(system)
        await eventually(lambda: system.handled("sync") == {"a": 1})
        began = time.monotonic()
    return system.logs(), time.monotonic() - began


async def send(system: System) -> None:
    """Post an event with a traceparent."""
    body = b'{"event":"customer_changed","notificationId":"a"}'
    status, _ = await system.post(body, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    assert status == 202


async def test_the_spans_of_two_processes_are_one_trace(server: Server, tmp_path: Path) -> None:
    """Ingress and worker send their spans to where the environment says, at the latest when they end."""
    async with collecting() as collector:
        logs, _ = await run(server, tmp_path, collector.port)
        assert sorted(collector.spans) == [
            ("event-router-ingress", "webhooks receive", TRACE),
            ("event-router-worker", "deliver sync", TRACE),
        ]
    assert "Traceback" not in logs


@pytest.mark.long
async def test_the_environment_names_the_service(server: Server, tmp_path: Path) -> None:
    """OTEL_SERVICE_NAME comes before our names."""
    async with collecting() as collector:
        await run(server, tmp_path, collector.port, OTEL_SERVICE_NAME="erp")
        assert {service for service, _, _ in collector.spans} == {"erp"}


@pytest.mark.long
async def test_a_collector_that_is_away_holds_up_nothing(server: Server, tmp_path: Path) -> None:
    """Events are received and handled, and the processes end in seconds."""
    _, seconds = await asyncio.wait_for(run(server, tmp_path, reserve()), 60)
    assert seconds < 25
