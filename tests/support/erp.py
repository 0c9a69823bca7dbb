"""An ERP to fetch from: the fake one that the product has, a clock for it, and settings that lead there."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

from config.erp import ErpSettings
from config.settings import Settings
from router.events.event import Event
from workers.erp.fake import FakeErp, serving
from workers.testing import sample_event

__all__ = [
    "CUSTOMERS",
    "SLUG",
    "TENANT",
    "Clock",
    "Steps",
    "answering",
    "customer_event",
    "erp_in_a_thread",
    "erp_settings",
    "erp_variables",
]

SLUG = "visma-net-financial"
CUSTOMERS = f"{SLUG}/customer_updated"
TENANT = "t1"


class Clock:
    """Time that passes only when a test says so, in seconds."""

    def __init__(self, now: float = 1_760_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return what time it is."""
        return self.now


class Steps:
    """A sleep that takes no time, and what was slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Sleep."""
        self.slept.append(seconds)


def erp_settings(erp: FakeErp, **options: Any) -> Settings:
    """Return settings with a client of the fake ERP."""
    known = {"base_url": erp.base_url, "token_url": erp.token_url, "client_id": "c1", "client_secret": "s3cret"}
    return Settings(erp={SLUG: ErpSettings(**(known | options))})


def customer_event(number: str = "1", **overrides: Any) -> Event:
    """Return an event of a customer of the tenant."""
    about = {"resource": f"customer/{number}", "resource_path": f"v1/customer/{number}", "resource_id": number}
    return sample_event(CUSTOMERS, **(about | {"tenant_id": TENANT, "company_id": "7"} | overrides))


@asynccontextmanager
async def answering(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Yield the base of an ERP that answers every request so, and has no tokens."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@contextmanager
def erp_in_a_thread() -> Iterator[FakeErp]:
    """Yield a fake ERP that serves beside the test, for commands that have an event loop of their own."""
    erps, end = list[FakeErp](), threading.Event()
    ready = threading.Event()

    async def serve() -> None:
        async with serving(FakeErp()) as erp:
            erps.append(erp)
            ready.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield erps[0]
    finally:
        end.set()
        thread.join(30)


def erp_variables(erp: FakeErp) -> dict[str, str]:
    """Return the environment in which a fake ERP is the one of Visma.net Financial."""
    values = {"BASE_URL": erp.base_url, "TOKEN_URL": erp.token_url, "CLIENT_ID": "c1", "CLIENT_SECRET": "s3cret"}
    return {f"ROUTER_ERP__VISMA_NET_FINANCIAL__{name}": value for name, value in values.items()}
