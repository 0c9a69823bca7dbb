"""Rules of notifying that hold although processes are killed: nothing is lost, one message at most is doubled."""

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support.notifying import incident
from support.receiver import OK, Request, receiving
from support.waiting import eventually

import router
from config.notify import NotifySettings
from router.store.client import Store
from workers.incidents import Incidents
from workers.notify.state import read_states

pytestmark = [pytest.mark.real, pytest.mark.long]

PROCESS = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from config.notify import NotifySettings
from router.store.client import connect
from router.store.keys import Keys
from workers.notify.metrics import NotifyMetrics
from workers.notify.notifiers import Notifiers
from workers.notify.pace import Pace

url, prefix, hook = sys.argv[1:]
ops = NotifySettings(name="ops", kind="webhook", url=hook, every=0, allow_private=["127.0.0.0/8"],
                     secrets=["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"])

async def main():
    store = connect(url, Keys(prefix))
    pace = Pace(lease=0.3, block=0.1, gather=0.0, first=0.01, longest=0.05)
    async with Notifiers([ops], store, NotifyMetrics(CollectorRegistry()), pace=pace):
        print("running", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

KILLS = 15


async def test_killed_at_any_moment(real_store: Store, server_url: str, tmp_path: Path) -> None:
    """Each incident is said, whenever the process that says it is killed; what is said twice has the same id."""
    seen: dict[str, list[list[str]]] = {}
    more: list[int] = []
    rng = random.Random(4711)  # so that it is the same again

    async def answer(request: Request) -> bytes:
        body = json.loads(request.body)
        more.append(body["data"]["more"])
        subjects = [one["subject"] for one in body["data"]["incidents"]]
        seen.setdefault(request.headers["webhook-id"], []).append(subjects)
        await asyncio.sleep(rng.uniform(0, 0.02))
        return OK

    async with receiving(answer) as receiver:
        incidents, opened = Incidents(real_store), list[str]()
        for kill in range(KILLS + 1):
            process = await _start(server_url, real_store, receiver.port)
            for number in range(3):
                opened.append(f"p/{kill}-{number}")
                await incidents.open(incident(opened[-1]))
            if kill < KILLS:
                before = len(seen)
                await eventually(lambda before=before: len(seen) > before)
                if kill % 3 == 2:  # or more would gather than a message names one by one
                    await eventually(lambda: _done(real_store))
                await asyncio.sleep(rng.uniform(0, 0.03))
                process.send_signal(signal.SIGKILL)
            else:
                await eventually(lambda: _done(real_store))
                process.terminate()
            await process.wait()
    said = Counter(subject for bodies in seen.values() for body in bodies for subject in body)
    assert not any(more)
    assert set(said) == set(opened)
    assert sum(count - 1 for count in said.values()) <= KILLS * 3
    assert all(body == bodies[0] for bodies in seen.values() for body in bodies)
    assert max(Counter(subject for bodies in seen.values() for subject in bodies[0]).values()) == 1


async def _done(store: Store) -> bool:
    [state] = await read_states(store, [NotifySettings(name="ops")])
    return state.waiting == 0


async def _start(url: str, store: Store, port: int) -> asyncio.subprocess.Process:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROCESS, url, store.keys.prefix, f"http://127.0.0.1:{port}/hook"),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(router.__file__).parents[1])},
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"running", time.monotonic() - began
    return process
