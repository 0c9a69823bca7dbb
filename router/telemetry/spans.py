"""The spans that are made of an event's way, in the words of OpenTelemetry's conventions for messaging.

Imported only where tracing is switched on. What is carried from one span to the next, in a header or in an entry of a
stream, is the text of W3C Trace Context (`traceparent`).
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_SYSTEM = "redis_streams"
_HEADER = "traceparent"
_PATIENCE = 5.0
"""Seconds that the end of a process waits for the last spans to be sent."""

_w3c = TraceContextTextMapPropagator()


class Carried(NamedTuple):
    """What the entry of an event tells of its trace: the span of its request, and that of the attempt before."""

    stream: str
    event_id: str
    attempt: int
    trace: str
    tried: str


@asynccontextmanager
async def sending(ratio: float, service: str) -> AsyncIterator[trace.TracerProvider]:
    """Yield what sends spans to where the environment says (OTEL_EXPORTER_OTLP_ENDPOINT), in a thread of its own.

    One that is set up already, as `opentelemetry-instrument` does, is used as it is. `ratio` is the share of traces to
    keep; a parent's decision comes first. At the end it sends what was not sent yet, and gives up after some seconds,
    since nobody may be listening.
    """
    existing = trace.get_tracer_provider()
    if not isinstance(existing, trace.ProxyTracerProvider):
        yield existing
        return
    resource = Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
    own = TracerProvider(ParentBased(TraceIdRatioBased(ratio)), resource, shutdown_on_exit=False)
    own.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(own)  # so that what handlers use makes its spans within ours
    try:
        yield own
    finally:
        ending = threading.Thread(target=own.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, _PATIENCE)


class Tracing:
    """Makes the spans of this process."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("event-router")

    def receiving(self, publisher: str, traceparent: str | None) -> Span:
        """Begin the span of a request, within that of the sender if it named one."""
        attributes = {
            "http.request.method": "POST",
            "http.route": "/webhooks/{publisher}",
            "messaging.system": _SYSTEM,
            "messaging.operation.name": "append",
            "messaging.operation.type": "send",
            "event_router.publisher": publisher,
        }
        parent = _context(traceparent or "")
        return self._tracer.start_span("webhooks receive", parent, SpanKind.SERVER, attributes)

    def delivering(self, subscription: str, consumer: str, events: Sequence[Carried]) -> Span:
        """Begin the span of an attempt: within that of the request, or linked to all of theirs where it is a batch."""
        attributes: dict[str, str | int] = {
            "messaging.system": _SYSTEM,
            "messaging.operation.name": "deliver",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": subscription,
            "messaging.client.id": consumer,
        }
        name, first = f"deliver {subscription}", events[0]
        if len({event.stream for event in events}) == 1:
            attributes["messaging.destination.name"] = first.stream
        if len(events) > 1:
            attributes["messaging.batch.message_count"] = len(events)
            links = _links(event.trace for event in events)
            return self._tracer.start_span(name, Context(), SpanKind.CONSUMER, attributes, links)
        attributes |= {"messaging.message.id": first.event_id, "event_router.attempt": first.attempt}
        return self._tracer.start_span(
            name, _context(first.trace), SpanKind.CONSUMER, attributes, _links([first.tried])
        )


def enter(span: Span) -> None:
    """Make a span the current one, in a context that is its own and ends with it."""
    current.attach(trace.set_span_in_context(span))


def carried_by(span: Span) -> str:
    """Return the text by which others continue a span."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get(_HEADER, "")


def current_traceparent() -> str:
    """Return the text by which others continue the span that runs; empty where none does."""
    return carried_by(trace.get_current_span())


def trace_id_of(span: Span) -> str:
    """Return the id of a span's trace, as backends show it."""
    return trace.format_trace_id(span.get_span_context().trace_id)


def finish(span: Span, attributes: Mapping[str, str | int], error: BaseException | None = None) -> None:
    """End a span, as failed where there is an error."""
    for name, value in attributes.items():
        span.set_attribute(name, value)
    if error is not None:
        span.set_attribute("error.type", type(error).__qualname__)
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
    span.end()


def _context(traceparent: str) -> Context:
    """Return the context that a text tells; an empty one, which begins a trace, where it tells none."""
    return _w3c.extract({_HEADER: traceparent}, Context())


def _links(traceparents: Iterable[str]) -> list[Link]:
    """Return links to the spans that texts tell, once each; none for a text that tells none."""
    named = dict.fromkeys(traceparents)
    spans = (trace.get_current_span(_context(text)).get_span_context() for text in named)
    return [Link(span) for span in spans if span.is_valid]
