"""Ingress with tracing: each request whose signature is right has a span, which its entries carry to the workers.

A class of its own, so that ingress without tracing does not even ask.
"""

import contextvars
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.trace import Span

from router.events.identify import Identified, Unreadable
from router.http.connection import Connection
from router.http.parser import RawRequestMessage
from router.http.response import Response
from router.ingress.app import Door, Ingress
from router.intake.entry import Answer, Entry
from router.intake.group_commit import Appender
from router.store.record import TRACE
from router.telemetry import logs
from router.telemetry.spans import Tracing, carried_by, enter, finish, trace_id_of

_UNAVAILABLE = 503


class TracedIngress(Ingress):
    """Makes the span `webhooks receive` of a request, and puts its `traceparent` into the field `trace` of entries."""

    def __init__(self, *args: Any, tracing: Tracing, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tracing = tracing
        self._appender: Appender = _Apart(self._appender)  # type: ignore[assignment]
        self._carried = ""

    def _receive(
        self, door: Door, head: RawRequestMessage, body: bytes, connection: Connection, started: float
    ) -> None:
        span = self._tracing.receiving(door.publisher.slug, head.headers.get("traceparent"))
        # A context of the request's own: its answer is called in it, and what comes after on the connection is not.
        contextvars.copy_context().run(self._receive_within, span, door, head, body, connection, started)

    def _receive_within(
        self, span: Span, door: Door, head: RawRequestMessage, body: bytes, connection: Connection, started: float
    ) -> None:
        enter(span)
        logs.bind({"trace_id": trace_id_of(span)})
        self._carried = carried_by(span)
        try:
            super()._receive(door, head, body, connection, started)
        except Exception as error:
            finish(span, {}, error)
            raise

    def _entry(self, publisher: str, item: Identified | Unreadable, now: int, hints: bytes, webhook: str = "") -> Entry:
        entry = super()._entry(publisher, item, now, hints, webhook)
        return replace(entry, fields=(*entry.fields, TRACE, self._carried))

    def _accepted(self, door: Door, reasons: Mapping[int, str], appended: Sequence[bool], started: float) -> Response:
        response = super()._accepted(door, reasons, appended, started)
        counts = {"messaging.batch.message_count": len(appended), "event_router.new": sum(appended)}
        finish(trace.get_current_span(), {"http.response.status_code": response.status, **counts})
        logs.bind({})  # the connection goes on from here with its next request
        return response


class _Apart:
    """An appender that works outside of the context of the request that begins its work, and answers in each one's."""

    def __init__(self, appender: Appender) -> None:
        self._append = appender.append
        self._own = contextvars.copy_context()

    def append(self, entries: Sequence[Entry], answer: Answer) -> None:
        """Do what the appender does."""
        of_request = contextvars.copy_context()
        self._own.run(self._append, entries, lambda outcome: of_request.run(_answered, answer, outcome))


def _answered(answer: Answer, outcome: Sequence[bool] | Exception) -> None:
    """Answer, and finish the span of a request whose items are not stored."""
    if isinstance(outcome, Exception):
        finish(trace.get_current_span(), {"http.response.status_code": _UNAVAILABLE}, outcome)
        logs.bind({})
    answer(outcome)
