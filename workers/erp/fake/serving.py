"""Serving a fake ERP on a port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from workers.erp.fake.fake_erp import FakeErp
from workers.erp.fake.site import make_site

__all__ = ["serving"]


@asynccontextmanager
async def serving(erp: FakeErp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[FakeErp]:
    """Serve on a port, any free one by default; raises OSError where it is taken."""
    runner = web.AppRunner(make_site(erp), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        erp.url = f"http://{host}:{runner.addresses[0][1]}"
        yield erp
    finally:
        erp.gate_open.set()
        await runner.cleanup()
