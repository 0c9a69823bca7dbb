"""Events that kill, choke or freeze the worker they are given to: real processes, started again when they die."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.processes import System, running_system
from support.waiting import eventually

pytestmark = pytest.mark.real

ATTEMPTS = 3

POISON = """
import ctypes, resource, sys

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(os.environ["ROOM"]), resource.RLIM_INFINITY))

def leak():
    kept = []
    while True:
        kept.append(bytes(1000))

def recurse():
    recurse()

def nest():
    inner = []
    for _ in range(1_000_000):
        inner = [inner]
    repr(inner)

HOW = {
    "exit": lambda: os._exit(3),
    "signal": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "bomb": lambda: bytearray(100 << 30),
    "leak": leak,
    "recursion": recurse,
    "nesting": nest,
    "sys-exit": lambda: sys.exit(1),
}

poisoned = Subscription(
    "poisoned", events=["*"], concurrency=4, retry=Retry(max_attempts=3, first_delay=0.01, max_delay=0.02)
)
"""

ASYNC = """
@poisoned.handler
async def handle(event: Event) -> None:
    note("poisoned", event)
    if event.id in HOW:
        HOW[event.id]()
    await asyncio.sleep(0.005)
"""

THREAD = """
@poisoned.handler
def handle(event: Event) -> None:
    note("poisoned", event)
    if event.id in HOW:
        HOW[event.id]()
    time.sleep(0.005)
"""

DEADLY = ["exit", "signal", "segfault", "abort"]
"""What ends the process each time."""
FAILING = {"bomb": "MemoryError", "recursion": "RecursionError", "nesting": "RecursionError", "sys-exit": "SystemExit"}


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system with an ingress."""
    async with running_system(tmp_path) as running:
        await running.start("ingress")
        await running.ready()
        yield running


@asynccontextmanager
async def kept_alive(system: System, module: str, workers: int, room: int) -> AsyncIterator[list[int]]:
    """Run workers with `room` bytes of memory for handlers, each started again when it dies; yield the exit codes."""
    codes: list[int] = []

    async def keep() -> None:
        while True:
            process = await system.start("worker", module, ROUTER_OPS__PORT="0", ROOM=str(room))
            codes.append(await process.wait())

    keeping = [asyncio.create_task(keep()) for _ in range(workers)]
    try:
        yield codes
    finally:
        for task in keeping:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*keeping)


async def dead(system: System) -> set[str]:
    """Return the ids of the dead letters."""
    return {row["id"] for row in await system.json("dlq", "list")}


async def errors_of(system: System, event_id: str) -> list[str]:
    """Return the classes of the errors in the history of a dead letter."""
    letter: dict[str, Any] = await system.json("dlq", "show", event_id)
    return [attempt["error"] for attempt in letter["history"]]


@pytest.mark.parametrize("handler", [ASYNC, THREAD], ids=["async", "thread"])
@pytest.mark.long
async def test_many_poison_events_at_once_end_dead_and_the_others_are_handled(system: System, handler: str) -> None:
    """Each is delivered `max_attempts` times and dead then, with a history that says why; no good event is lost."""
    poison = [*DEADLY, *FAILING]
    good = [f"good-{number}" for number in range(60)]
    ids = [*good]
    for place, name in enumerate(poison):
        ids.insert(5 + place * 7, name)
    async with kept_alive(system, system.module(POISON + handler), 2, 4 << 30) as codes:
        await system.post_many(ids)
        await eventually(lambda: _all_dead(system, poison), timeout=150, interval=0.5)
        await eventually(lambda: set(good) <= set(system.handled()))
        handled = system.handled()
        # One that another killed before it began has lost an attempt; one that only failed, but was near, has won one.
        assert all(ATTEMPTS - 1 <= handled[name] <= ATTEMPTS for name in DEADLY)
        assert all(ATTEMPTS <= handled[name] <= ATTEMPTS + 1 for name in FAILING)
        assert set(codes) <= {3, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT}
        assert len(codes) <= len(DEADLY) * ATTEMPTS
        assert sum(handled[name] - 1 for name in good) <= 4 * len(codes)  # what was done, and not yet acknowledged
    for name in DEADLY:
        assert await errors_of(system, name) == ["WorkerLost"] * ATTEMPTS
    for name, error in FAILING.items():
        errors = await errors_of(system, name)
        assert set(errors) <= {error, "WorkerLost"}  # where others killed its worker while it ran
        assert ATTEMPTS <= len(errors) <= ATTEMPTS + 1
    for name in await dead(system) - set(poison):  # handled, and near three of the killers when they killed
        assert await errors_of(system, name) == ["WorkerLost"] * ATTEMPTS


async def _all_dead(system: System, names: list[str]) -> bool:
    return await dead(system) >= set(names)


@pytest.mark.long
@pytest.mark.parametrize("handler", [ASYNC, THREAD], ids=["async", "thread"])
async def test_an_event_that_takes_all_memory_ends_dead(system: System, handler: str) -> None:
    """Whether it ends in exceptions, in crashes or in both, it is dead after its attempts, and others are handled."""
    good = [f"good-{number}" for number in range(20)]
    async with kept_alive(system, system.module(POISON + handler), 1, 400 << 20):
        await system.post_many([*good[:10], "leak", *good[10:]])
        await eventually(lambda: _all_dead(system, ["leak"]), timeout=120, interval=0.5)
        await eventually(lambda: set(good) <= set(system.handled()))
    assert ATTEMPTS <= system.handled()["leak"] <= ATTEMPTS + 1
    assert await dead(system) == {"leak"}
    assert set(await errors_of(system, "leak")) <= {"MemoryError", "WorkerLost"}


KEYED = """
def key_of(event):
    if event.id in HOW:
        HOW[event.id]()
    return event.resource

by_function = Subscription(
    "poisoned", events=["*"], key=key_of, retry=Retry(max_attempts=3, first_delay=0.01, max_delay=0.02)
)

@by_function.handler
async def handle_in_order(event: Event) -> None:
    note("poisoned", event)
"""


@pytest.mark.parametrize(
    "deadly",
    [["segfault"], pytest.param(["exit", "signal", "abort"], marks=pytest.mark.long)],
    ids=["one", "several"],
)
@pytest.mark.long
async def test_events_whose_key_function_kills_its_worker_end_dead(system: System, deadly: list[str]) -> None:
    """Each kills the worker once with its batch and `max_attempts` times alone; one that only fails is dead at once.

    The events beside them are handled, and none of them is blamed.
    """
    failing = ["bomb", "recursion", "sys-exit"]
    good = [f"good-{number}" for number in range(30)]
    ids = [*good]
    for place, name in enumerate([*deadly, *failing]):
        ids.insert(5 + place * 5, name)
    async with kept_alive(system, system.module(POISON.partition("poisoned =")[0] + KEYED), 2, 4 << 30) as codes:
        await system.post_many(ids)
        await eventually(lambda: _all_dead(system, [*deadly, *failing]), timeout=150, interval=0.5)
        await eventually(lambda: set(good) <= set(system.handled()))
        assert ATTEMPTS * len(deadly) < len(codes) <= (ATTEMPTS + 1) * len(deadly)
    assert await dead(system) == {*deadly, *failing}
    assert set(system.handled()) == set(good)
    for name in deadly:
        letter = await system.json("dlq", "show", name)
        assert letter["reason"] == f"its key could not be made: {ATTEMPTS} workers died while the key function ran"


FREEZING = """
frozen = Subscription(
    "frozen", events=["*"], concurrency=4, retry=Retry(max_attempts=3, first_delay=0.01, max_delay=0.02)
)

@frozen.handler
async def handle(event: Event) -> None:
    note("frozen", event)
    if event.id == "freeze":
        time.sleep(float(os.environ["FREEZE"]))
    await asyncio.sleep(0.005)
"""


@pytest.mark.long
async def test_an_event_that_freezes_its_worker_for_longer_than_the_lease_is_taken_over(system: System) -> None:
    """A handler that blocks the event loop loses its lease; the others take over, up to `max_attempts` times in all.

    It ends dead, or, where the last to have it returned before anybody could tell, done; and the others are handled.
    """
    good = [f"good-{number}" for number in range(60)]
    module = system.module(FREEZING)
    for _ in range(2):
        await system.start("worker", module, ROUTER_OPS__PORT="0", FREEZE="6")
    await system.post_many([*good[:30], "freeze", *good[30:]])
    await eventually(lambda: system.handled()["freeze"] >= 2, timeout=90)
    await eventually(lambda: set(good) <= set(system.handled()), timeout=60)
    await eventually(lambda: _settled(system), timeout=90, interval=0.5)
    assert system.handled()["freeze"] <= ATTEMPTS
    if await dead(system):
        assert await dead(system) == {"freeze"}
        assert await errors_of(system, "freeze") == ["WorkerLost"] * ATTEMPTS


async def _settled(system: System) -> bool:
    streams = await system.json("streams")
    ways = [way for stream in streams for way in stream["subscriptions"]]
    return not any(way["lag"] + way["pending"] + way["scheduled"] for way in ways)


@pytest.mark.long
async def test_an_event_that_freezes_the_only_worker_is_handled_once(system: System) -> None:
    """With nobody to take over there is nobody to judge: the handler returns, late, and its event is done."""
    good = [f"good-{number}" for number in range(20)]
    await system.start("worker", system.module(FREEZING), ROUTER_OPS__PORT="0", FREEZE="4")
    await system.post_many([*good[:10], "freeze", *good[10:]])
    await eventually(lambda: set(good) <= set(system.handled()), timeout=60)
    await eventually(lambda: _settled(system), interval=0.3)
    assert set(system.handled().values()) == {1}
    assert await dead(system) == set()
