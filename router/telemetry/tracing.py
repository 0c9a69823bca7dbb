"""Tracing, where it is switched on: one trace of each event from its request to its handlers, by OpenTelemetry.

OpenTelemetry is an extra of the package, so it is imported here and nowhere before. Where tracing is off there is None
in its place, and nothing else to pay for.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from config.errors import ExtraMissing
from config.settings import TracingSettings

if TYPE_CHECKING:
    from router.telemetry.spans import Tracing


@asynccontextmanager
async def open_tracing(settings: TracingSettings, role: str) -> AsyncIterator["Tracing | None"]:
    """Yield what makes spans, None where that is off; what was not sent yet is sent at the end, within seconds.

    `role` is ingress or worker. Raises ExtraMissing where the extra is not installed.
    """
    if not settings.enabled:
        yield None
        return
    try:
        spans = import_module("router.telemetry.spans")
    except ImportError as error:
        raise ExtraMissing(f"tracing.enabled needs OpenTelemetry ({error})", "otel") from error
    async with spans.sending(settings.sample_ratio, f"event-router-{role}") as provider:
        yield spans.Tracing(provider)
