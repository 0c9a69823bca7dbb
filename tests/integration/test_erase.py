"""Erasing a company beside a live ingress and live workers, killed on the way: real processes, the embedded server."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.needles import left_in_files, left_in_store, without_compression
from support.processes import System, running_system
from support.waiting import eventually

from config.settings import Settings
from router.embedded.access import open_store
from router.store.client import Store

pytestmark = [pytest.mark.real, pytest.mark.long]

NEEDLE = "needle-4711"
HANDLERS = """
retry = Retry(max_attempts=3, first_delay=0.05, max_delay=0.1)
sync = Subscription("sync", events=["*"], retry=retry)
ordered = Subscription("ordered", events=["*"], key="resource", retry=retry)

async def handle(name, event):
    if event.company_id == "needle-4711":
        await asyncio.sleep(0.02)
        raise ValueError(f"no {event.company_id}")
    note(name, event)

@sync.handler
async def at_once(event: Event) -> None:
    await handle("sync", event)

@ordered.handler
async def in_order(event: Event) -> None:
    await handle("ordered", event)
"""


def _item(id_: str, company: str, number: int) -> dict[str, str]:
    uri = f"v1/customer/{company}-{number % 7}"
    return {"event": "customer_changed", "notificationId": id_, "contextId": company, "relativeResourceUri": uri}


async def _send(system: System, number: int) -> None:
    """Send events of two companies, and now and then a body that nobody can read."""
    for at in range(number):
        items = [_item(f"a{at}", "haystack-1", at), _item(f"n{at}", NEEDLE, at)]
        assert (await system.post(items))[0] == 202
        if at % 10 == 0:
            await system.post(f'{{"contextId": "{NEEDLE}", "number": {at}, "note": "torn'.encode())


async def _killed(system: System, store: Store, condition: Callable[[], Awaitable[bool]]) -> None:
    """Kill an erasure as soon as it has come somewhere, or let it end."""
    process = await system.start("erase", "--company", NEEDLE, "--yes")

    async def there() -> bool:
        return process.returncode is not None or await condition()

    await eventually(there, interval=0.001)
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await store.client.delete(store.keys.erasing())  # which ends by itself, in a minute


async def test_nothing_is_left_and_nothing_of_others_is_lost(tmp_path: Path) -> None:
    """While events come, are handled and die, an erasure is killed and repeated: it takes all of one company alone."""
    number = 150
    async with (
        running_system(tmp_path) as system,
        open_store(Settings(data_dir=tmp_path / "data")) as store,
    ):
        await without_compression(store)
        module = system.module(HANDLERS)
        await system.start("ingress")
        await system.ready()
        await system.start("worker", module, ROUTER_OPS__PORT=str(system.ops + 1))
        await system.ready(system.ops + 1)
        sending = asyncio.create_task(_send(system, number))

        async def begun() -> bool:
            return bool(await store.client.exists(store.keys.erasing()))

        async def copying() -> bool:
            return bool([key async for key in store.client.scan_iter(match="*:copy")])

        await eventually(lambda: len(system.handled("sync")) > 10)
        for condition in (begun, copying, begun, copying):
            await _killed(system, store, condition)
        await sending

        async def all_handled() -> bool:
            return all(len(system.handled(name)) == number for name in ("sync", "ordered"))

        await eventually(all_handled)
        code, _, said = await system.run("erase", "--company", NEEDLE, "--yes", "--reason", f"{NEEDLE} asked")
        assert code == 0, said
        assert await left_in_store(store, b"needle") == []
        assert left_in_files(tmp_path / "data", b"needle") == []
        code, out, _ = await system.run("export", "--company", "haystack-1")
        assert code == 0
        assert {json.loads(line)["place"] for line in out.splitlines()} >= {"streams"}
        names = {f"a{at}" for at in range(number)}
        for name in ("sync", "ordered"):
            handled = system.handled(name)
            assert handled.keys() == names
            assert set(handled.values()) == {1}
