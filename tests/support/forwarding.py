"""Forwards on the bench: each posts to a receiver on the loopback, and is run by a crew."""

import base64
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from prometheus_client import CollectorRegistry
from support.keyed_bench import CALM, SLUG
from support.keyed_bench import Bench as Stores
from support.receiver import Answering, Receiver

from config.forward import ForwardSettings
from config.settings import Settings, WorkerSettings
from workers.breakers import Breakers, breaking
from workers.consuming.consumer import Consumer
from workers.crew import Crew
from workers.forward.forwards import Forwards
from workers.forward.notebook import Notebook
from workers.keyed.consumer import KeyedConsumer
from workers.keyed.leftover import UnkeyedConsumer
from workers.limits.limiter import Limiter, limiting
from workers.service import Bench
from workers.subscription import Subscription

__all__ = ["OTHER_SECRET", "SECRET", "answering", "forward_settings", "forwarding", "settings_with"]

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()


def answering(*statuses: int, headers: str = "", body: str = "") -> Answering:
    """Return what answers with these statuses, one after the other, and with the last one from then on."""
    left = list(statuses)

    async def answer(_request: object) -> bytes:
        status = left.pop(0) if len(left) > 1 else left[0]
        return f"HTTP/1.1 {status} So\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    return answer


def forward_settings(receiver: Receiver, name: str = "crm", **options: Any) -> ForwardSettings:
    """Return the settings of a forward to a receiver."""
    given = {
        "name": name,
        "events": [f"{SLUG}/customer_changed"],
        "url": f"http://127.0.0.1:{receiver.port}/hook",
        "secrets": [SECRET],
        "allow_private": ["127.0.0.0/8"],
        "retry": {"max_attempts": 3, "first_delay": 0.01, "max_delay": 0.02},
        **options,
    }
    return ForwardSettings.model_validate(given)


def settings_with(*forwards: ForwardSettings) -> Settings:
    """Return settings with these forwards."""
    return Settings(forward=forwards)


@contextlib.asynccontextmanager
async def forwarding(
    stores: Stores,
    *forwards: ForwardSettings,
    traceparent: Callable[[], str] = str,
    registry: CollectorRegistry | None = None,
    **options: Any,
) -> AsyncIterator[Forwards]:
    """Yield forwards that run on the store of a bench; `options` are those of workers."""
    options = {"lease": CALM, "block": 0.1, "sweep_interval": CALM, "shutdown_timeout": 5.0, **options}

    def make(subscription: Subscription) -> Consumer:
        kind = KeyedConsumer if subscription.keyed else UnkeyedConsumer
        given = (subscription, "c1", stores.store, stores.catalogue, WorkerSettings(**options), stores.metrics)
        return kind(*given)

    crew = Crew(make)
    settings = settings_with(*forwards)
    poster: Any = None
    bench = Bench(settings, stores.store, stores.catalogue, registry or stores.registry, crew, poster)
    notebook = Notebook(stores.store, time.time, pause=0.01)
    async with (
        breaking(Breakers(stores.store, stores.metrics)),
        limiting(Limiter(stores.store, "c1", stores.metrics)),
        Forwards(bench, notebook, traceparent) as running,
    ):
        running.want(settings)
        await running.bring()
        crew.beside(notebook.run())
        crew.beside(running.run())
        try:
            yield running
        finally:
            await crew.stop()
    if crew.broken.done():
        crew.broken.result()
