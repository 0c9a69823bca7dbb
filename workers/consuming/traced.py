"""Attempts with tracing: each has a span, within that of the event's request and linked to the attempt before it."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from router.store.record import TRACE, TRIED, text_of
from router.telemetry import logs
from workers.delivery import Held
from workers.outcomes import AlreadyDone
from workers.retry import deferral_of

if TYPE_CHECKING:
    from router.telemetry.spans import Carried, Tracing


class TracedAttempts:
    """Makes the span `deliver SUBSCRIPTION` of each attempt, and notes it in what a retry will carry."""

    def __init__(self, tracing: "Tracing", group: str, consumer: str) -> None:
        from opentelemetry.trace import use_span  # noqa: PLC0415 - an extra, and tracing is on

        from router.telemetry import spans  # noqa: PLC0415 - as above

        self._use, self._spans = use_span, spans
        self._tracing = tracing
        self._group = group
        self._consumer = consumer

    async def attempt(self, deliveries: Sequence[Held], call: Awaitable[list[Any]]) -> list[Any]:
        """Await the call of a handler within a span; return what became of each delivery."""
        spans = self._spans
        span = self._tracing.delivering(self._group, self._consumer, [self._carried(held) for held in deliveries])
        logs.also({"trace_id": spans.trace_id_of(span)})
        try:
            with self._use(span, record_exception=False, set_status_on_exception=False):
                results = await call
        except BaseException as error:
            spans.finish(span, {}, error)
            raise
        raised = [result for result in results if isinstance(result, BaseException)]
        failures = [error for error in raised if deferral_of(error) is None and not isinstance(error, AlreadyDone)]
        spans.finish(span, {"event_router.failed": len(failures)}, failures[0] if failures else None)
        tried = spans.carried_by(span).encode()
        for held in deliveries:
            held.fields = {**held.fields, TRIED: tried}
        return results

    def _carried(self, held: Held) -> "Carried":
        trace, tried = (text_of(held.fields, name) for name in (TRACE, TRIED))
        return self._spans.Carried(held.stream, held.event_id, held.used + 1, trace, tried)
