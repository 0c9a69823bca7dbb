"""One trace from a request to its handlers: spans as OpenTelemetry gets them, over a listening ingress and a worker."""

import asyncio
import base64
import hmac
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import ClientSession
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from support.filling import CUSTOMERS, FINANCIAL
from support.spools import append
from support.waiting import eventually

from config.errors import ConfigError
from config.settings import Settings, TracingSettings, WorkerSettings
from router.events.catalogue import Catalogue
from router.http.server import Server
from router.ingress.metrics import IngressMetrics
from router.ingress.traced import TracedIngress
from router.intake.drain import Drain
from router.intake.entry import Answer, Entry
from router.intake.group_commit import Appender
from router.intake.spool import Spool
from router.intake.writer import Batch
from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.keys import Keys
from router.telemetry import logs
from router.telemetry.spans import Tracing, current_traceparent
from router.telemetry.tracing import open_tracing
from workers import Delivery, Event, Retry, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics
from workers.operations.dead_letters.letters import DeadLetters
from workers.operations.dead_letters.selector import Selector

SECRET = "dGVzdC1zZWNyZXQ="
SENDERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""A traceparent as a sender may send it."""
TRACE, PARENT = SENDERS.split("-")[1:3]


class Way:
    """An ingress and what follows it, with every span that they end."""

    def __init__(self, store: Store, catalogue: Catalogue, provider: TracerProvider | None = None) -> None:
        self.store, self.catalogue = store, catalogue
        self.exporter = InMemorySpanExporter()
        self.provider = provider or TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(self.provider)
        self.port = 0

    @asynccontextmanager
    async def ingress(self, appender: Any = None) -> AsyncIterator[None]:
        """Listen."""
        settings = Settings(redis={"prefix": self.store.keys.prefix}, secrets={FINANCIAL: SECRET})
        appender = appender or Appender(Batch(self.store, window=60_000))
        metrics = IngressMetrics(CollectorRegistry())
        ingress = TracedIngress(settings, self.catalogue, appender, metrics, tracing=self.tracing)
        server = Server(ingress, settings.ingress)
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            listening.close()
            server.close()
            await server.finish(5)
            await listening.wait_closed()

    @asynccontextmanager
    async def worker(self, subscription: Subscription) -> AsyncIterator[Consumer]:
        """Run a subscription."""
        settings = WorkerSettings(lease=60, block=0.1, sweep_interval=60, shutdown_timeout=5)
        metrics = WorkerMetrics(CollectorRegistry())
        consumer = Consumer(subscription, "w1", self.store, self.catalogue, settings, metrics, tracing=self.tracing)
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def post(self, *ids: str, secret: str = SECRET, **headers: str) -> int:
        """Send notifications, signed; return the status."""
        body = json.dumps([{"event": "customer_changed", "notificationId": id_} for id_ in ids]).encode()
        signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
        url = f"http://127.0.0.1:{self.port}/webhooks/{FINANCIAL}"
        headers = {"x-vwd-signature-v1": signature, **headers}
        async with ClientSession() as session, session.post(url, data=body, headers=headers) as response:
            return response.status

    def spans(self, name: str) -> list[ReadableSpan]:
        """Return the spans of this name that have ended, in that order."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    async def ended(self, name: str, number: int = 1) -> list[ReadableSpan]:
        """Wait until so many spans of a name have ended; return them."""
        await eventually(lambda: len(self.spans(name)) >= number)
        return self.spans(name)


@pytest.fixture
def path(store: Store, catalogue: Catalogue) -> Way:
    """Return the way of an event over each store."""
    return Way(store, catalogue)


def ids_of(span: ReadableSpan) -> tuple[str, str]:
    """Return the ids of a span's trace and of itself."""
    context = span.get_span_context()
    assert context is not None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def parent_of(span: ReadableSpan) -> str | None:
    """Return the id of the span that it is within."""
    return trace.format_span_id(span.parent.span_id) if span.parent else None


def links_of(span: ReadableSpan) -> list[str]:
    """Return the ids of the spans that it is linked to."""
    return [trace.format_span_id(link.context.span_id) for link in span.links]


def subscription(handle: Any, **options: Any) -> Subscription:
    """Return a subscription with this handler, whose retries come at once."""
    retry = Retry(max_attempts=options.pop("max_attempts", 3), first_delay=0.001, max_delay=0.001)
    made = Subscription("sync", events=[CUSTOMERS], retry=retry, **options)
    made.handler(handle)
    return made


async def test_one_trace_from_request_to_handler(path: Way) -> None:
    """The attempt is within the request, that within the sender's span, and what the handler does in the attempt."""
    seen: list[str] = []

    async def handle(event: Event) -> None:
        with path.provider.get_tracer("mine").start_as_current_span("mine"):
            seen.append(event.id)

    async with path.ingress(), path.worker(subscription(handle)):
        assert await path.post("a", traceparent=SENDERS) == 202
        [received], [delivered], [mine] = (
            await path.ended("webhooks receive"),
            await path.ended("deliver sync"),
            await path.ended("mine"),
        )
    assert seen == ["a"]
    assert {ids_of(span)[0] for span in (received, delivered, mine)} == {TRACE}
    assert parent_of(received) == PARENT
    assert parent_of(delivered) == ids_of(received)[1]
    assert parent_of(mine) == ids_of(delivered)[1]
    assert (received.kind, delivered.kind) == (SpanKind.SERVER, SpanKind.CONSUMER)


async def test_what_others_continue(path: Way) -> None:
    """Within an attempt a handler can say in a header which span others are to continue; without one there is none."""
    said: list[str] = []

    async def handle(event: Event) -> None:
        said.append(current_traceparent())

    assert current_traceparent() == ""
    async with path.ingress(), path.worker(subscription(handle)):
        assert await path.post("a", traceparent=SENDERS) == 202
        [delivered] = await path.ended("deliver sync")
    assert said == ["00-{}-{}-01".format(*ids_of(delivered))]


async def test_the_words_of_the_conventions(path: Way) -> None:
    """Spans say in OpenTelemetry's words for messaging what they are about."""

    async def handle(_event: Event) -> None:
        pass

    async with path.ingress(), path.worker(subscription(handle)):
        await path.post("a")
        [received], [delivered] = await path.ended("webhooks receive"), await path.ended("deliver sync")
    assert dict(received.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/webhooks/{publisher}",
        "http.response.status_code": 202,
        "messaging.system": "redis_streams",
        "messaging.operation.name": "append",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 1,
        "event_router.publisher": FINANCIAL,
        "event_router.new": 1,
    }
    assert dict(delivered.attributes or {}) == {
        "messaging.system": "redis_streams",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.name": CUSTOMERS,
        "messaging.consumer.group.name": "sync",
        "messaging.client.id": "w1",
        "messaging.message.id": "a",
        "event_router.attempt": 1,
        "event_router.failed": 0,
    }


async def test_a_retry_is_linked_to_the_attempt_before(path: Way) -> None:
    """Every attempt is within the request; a later one names the one before it, and a failed one its error."""

    async def handle(delivery: Delivery) -> None:
        if delivery.attempt < 3:
            raise ValueError("not yet")

    async with path.ingress(), path.worker(subscription(handle)):
        await path.post("a")
        first, second, third = await path.ended("deliver sync", 3)
        [received] = path.spans("webhooks receive")
    assert {parent_of(span) for span in (first, second, third)} == {ids_of(received)[1]}
    assert links_of(first) == []
    assert links_of(second) == [ids_of(first)[1]]
    assert links_of(third) == [ids_of(second)[1]]
    assert [(span.attributes or {})["event_router.attempt"] for span in (first, second, third)] == [1, 2, 3]
    assert [span.status.status_code for span in (first, third)] == [StatusCode.ERROR, StatusCode.UNSET]
    assert (first.attributes or {})["error.type"] == "ValueError"


async def test_a_replayed_dead_letter_stays_in_its_trace(path: Way) -> None:
    """What was given up and is replayed goes on in the trace of its request, linked to the attempt it died of."""
    failing = True

    async def handle(_event: Event) -> None:
        if failing:
            raise ValueError("broken")

    async with path.ingress(), path.worker(subscription(handle, max_attempts=1)):
        await path.post("a")
        letters = DeadLetters(path.store, path.catalogue)

        async def dead() -> list[Any]:
            return [letter async for letter in letters.newest(Selector())]

        await eventually(dead)
        failing = False
        assert (await letters.replay(await dead())).changed == 1
        died, replayed = await path.ended("deliver sync", 2)
        [received] = path.spans("webhooks receive")
    assert parent_of(replayed) == ids_of(received)[1]
    assert links_of(replayed) == [ids_of(died)[1]]


async def test_a_batch_is_linked_to_all_its_requests(path: Way) -> None:
    """One call for many events is a trace of its own, which names the span of each request, once."""
    batches: list[int] = []

    async def handle(events: list[Event]) -> None:
        batches.append(len(events))

    async with path.ingress():
        await path.post("a", "b")
        await path.post("c")
        received = await path.ended("webhooks receive", 2)
        async with path.worker(subscription(handle, concurrency=1)):
            [delivered] = await path.ended("deliver sync")
    assert batches == [3]
    assert parent_of(delivered) is None
    assert links_of(delivered) == [ids_of(span)[1] for span in received]
    assert (delivered.attributes or {})["messaging.batch.message_count"] == 3


async def test_requests_on_one_connection_are_apart(path: Way) -> None:
    """A request without a traceparent begins a trace, also right behind another on the same connection."""

    async def post(session: ClientSession, name: str) -> None:
        body = json.dumps([{"event": "customer_changed", "notificationId": name}]).encode()
        signature = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
        url = f"http://127.0.0.1:{path.port}/webhooks/{FINANCIAL}"
        await (await session.post(url, data=body, headers={"x-vwd-signature-v1": signature})).read()

    async with path.ingress(), ClientSession() as session:
        for name in "abc":
            await post(session, name)
        spans = await path.ended("webhooks receive", 3)
    assert len({ids_of(span)[0] for span in spans}) == 3
    assert [parent_of(span) for span in spans] == [None, None, None]


async def test_an_empty_array_has_its_span(path: Way) -> None:
    """A request with nothing to store is answered at once, and its span ends with it."""
    async with path.ingress():
        assert await path.post() == 202
        [span] = await path.ended("webhooks receive")
    assert (span.attributes or {})["messaging.batch.message_count"] == 0


async def test_a_stranger_makes_no_span(path: Way) -> None:
    """A request that is refused costs nobody a trace, whatever it says that should be kept."""
    async with path.ingress():
        assert await path.post("a", secret="wrong", traceparent=SENDERS) == 401
        assert await path.post("b") == 202
        [span] = await path.ended("webhooks receive")
    assert parent_of(span) is None


@pytest.mark.parametrize("header", ["", "nonsense", SENDERS[:-1], "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "é" * 50])
async def test_a_traceparent_that_is_none(path: Way, header: str) -> None:
    """What cannot be read begins a new trace, and is no reason to refuse anything."""
    async with path.ingress():
        assert await path.post("a", traceparent=header) == 202
        [span] = await path.ended("webhooks receive")
    assert parent_of(span) is None


@pytest.mark.parametrize("carried", [b"", b"nonsense", b"\xff\xfe", SENDERS.encode() * 100])
async def test_an_entry_with_a_trace_that_is_none(path: Way, carried: bytes) -> None:
    """An entry from before tracing, or written by a hand, is handled like any other, in a trace of its own."""

    async def handle(_event: Event) -> None:
        pass

    raw = b'{"event":"customer_changed","notificationId":"a"}'
    entry = {"id": "a", "at": 1, "raw": raw, "trace": carried, "tried": carried}
    await path.store.client.xadd(path.store.keys.events(CUSTOMERS), entry)
    async with path.worker(subscription(handle)):
        [span] = await path.ended("deliver sync")
    assert (parent_of(span), links_of(span)) == (None, [])


async def test_a_trace_that_is_not_kept_is_carried_all_the_same(store: Store, catalogue: Catalogue) -> None:
    """That a trace is not sampled is decided once, at its beginning: the worker keeps to it."""
    path = Way(store, catalogue, TracerProvider(ParentBased(ALWAYS_OFF), shutdown_on_exit=False))
    async with path.ingress():
        await path.post("a")
    [(_, fields)] = await store.client.xrange(store.keys.events(CUSTOMERS))
    assert not int(fields[b"trace"][-2:], 16) & 1

    handled = asyncio.Event()

    async def handle(_event: Event) -> None:
        handled.set()

    always = Way(store, catalogue)
    async with always.worker(subscription(handle)):
        await asyncio.wait_for(handled.wait(), 30)
    assert always.spans("deliver sync") == []


class Unwilling:
    """An appender whose store refuses everything."""

    def append(self, _entries: Any, answer: Answer) -> None:
        """Refuse."""
        answer(StoreUnavailable("no"))


async def test_a_request_that_could_not_be_stored(path: Way) -> None:
    """Its span says so, with the status that the sender got."""
    async with path.ingress(Unwilling()):
        assert await path.post("a") == 503
        [span] = await path.ended("webhooks receive")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["http.response.status_code"] == 503
    assert (span.attributes or {})["error.type"] == "StoreUnavailable"


async def test_what_is_logged_names_the_trace(path: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a request and of an attempt carry `trace_id`; those about no request in particular do not."""
    bound: list[tuple[str, object]] = []

    async def handle(_event: Event) -> None:
        raise ValueError("broken")

    def note(event: str) -> Callable[..., None]:
        return lambda *_args, **_fields: bound.append((event, logs._bound.get().get("trace_id")))

    with capture_logs() as lines:
        async with path.ingress(), path.worker(subscription(handle, max_attempts=1)) as consumer:
            monkeypatch.setattr(consumer.context.log, "warning", note("worker"))
            await path.post("a", traceparent=SENDERS)
            await path.ended("deliver sync")
            await eventually(lambda: bound)
    assert bound == [("worker", TRACE)]
    assert not [line for line in lines if "trace_id" in line]


async def entries(store: Store) -> list[dict[bytes, bytes]]:
    """Return what is in the stream."""
    return [fields for _, fields in await store.client.xrange(store.keys.events(CUSTOMERS))]


async def test_the_spool_keeps_the_trace(real_store: Store, tmp_path: Path) -> None:
    """What waited on disk is appended with its trace, also together with what came while tracing was off."""
    keys: Keys = real_store.keys

    def entry(name: str, *more: str) -> Entry:
        fields = ("id", name, "at", 1, "raw", b"{}", *more)
        return Entry(keys.events(CUSTOMERS), keys.seen(CUSTOMERS, name), fields, 2)

    spool = Spool.open(tmp_path, max_bytes=1_000_000)
    spool.store.refused(StoreUnavailable("away"), away=True)
    appender = Appender(Batch(real_store, window=60_000), spool)
    await asyncio.gather(
        append(appender, [entry("a")]), append(appender, [entry("b", "trace", SENDERS)]), append(appender, [entry("c")])
    )
    assert await Drain(spool, Batch(real_store, window=60_000), Random()).once()
    await spool.close()
    assert [(fields[b"id"], fields[b"raw"], fields.get(b"trace")) for fields in await entries(real_store)] == [
        (b"a", b"{}", None),
        (b"b", b"{}", SENDERS.encode()),
        (b"c", b"{}", None),
    ]


async def test_tracing_is_off_by_default() -> None:
    """Nothing of OpenTelemetry is made, nor asked for, unless it is switched on."""
    async with open_tracing(Settings().tracing, "ingress") as tracing:
        assert tracing is None


async def test_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing that is switched on without OpenTelemetry is refused, with what to do."""
    monkeypatch.setitem(sys.modules, "router.telemetry.spans", None)
    with pytest.raises(ConfigError, match=r"visma-event-router\[otel\]'; an image is built with EXTRAS=otel"):
        async with open_tracing(TracingSettings(enabled=True), "ingress"):
            raise AssertionError("it must not begin")
