"""Handlers whose code asks the process to exit, where no `except` of the worker is on the stack: real processes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.processes import System, running_system
from support.waiting import eventually

pytestmark = pytest.mark.real

ATTEMPTS = 2

ESCAPES = """
import gc, sys, threading
from workers import DeadLetter

async def leave():
    sys.exit(3)

async def interrupted():
    await asyncio.sleep(0)
    raise KeyboardInterrupt

def loop():
    return asyncio.get_running_loop()

class Hostile(Exception):
    def __init__(self, error):
        self.error = error
    def __str__(self):
        raise self.error
    __repr__ = __str__

class Resentful:
    def __del__(self):
        sys.exit(3)

async def waits(*_):
    await asyncio.sleep(30)

async def group(task):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(task)
        tasks.create_task(waits())

async def raises(error):
    raise error

async def then_wait(callback):
    callback()
    await waits()

def thread(target):
    started = threading.Thread(target=target)
    started.start()
    started.join()

def stop_signal_handler():
    loop().add_signal_handler(signal.SIGTERM, print)

def done_callback():
    asyncio.create_task(asyncio.sleep(0)).add_done_callback(lambda _: sys.exit(3))

class Protocol(asyncio.DatagramProtocol):
    def datagram_received(self, data, address):
        sys.exit(3)

async def readable():
    read, write = os.pipe()
    loop().add_reader(read, lambda: (loop().remove_reader(read), os.close(read), sys.exit(3)))
    os.write(write, b"x")
    os.close(write)
    await waits()

async def asynchronous_generator():
    async def numbers():
        try:
            yield 1
        finally:
            sys.exit(3)
    await numbers().__anext__()
    gc.collect()
    await waits()

BAD = {
    "gather": lambda: asyncio.gather(leave(), asyncio.sleep(1)),
    "task": lambda: asyncio.create_task(leave()),
    "swallowed": lambda: asyncio.gather(leave(), return_exceptions=True),
    "group": lambda: group(leave()),
    "interrupt": lambda: asyncio.gather(interrupted(), asyncio.sleep(1)),
    "wait_for": lambda: asyncio.wait_for(leave(), 1),
    "call_soon": lambda: then_wait(lambda: loop().call_soon(sys.exit, 3)),
    "call_later": lambda: then_wait(lambda: loop().call_later(0.01, sys.exit, 3)),
    "call_at": lambda: then_wait(lambda: loop().call_at(loop().time() + 0.01, sys.exit, 3)),
    "threadsafe": lambda: then_wait(lambda: loop().call_soon_threadsafe(sys.exit, 3)),
    "done_callback": lambda: then_wait(done_callback),
    "readable": readable,
    "generator": asynchronous_generator,
    "to_thread": lambda: asyncio.to_thread(sys.exit, 3),
    "executor": lambda: loop().run_in_executor(None, sys.exit, 3),
    "stop": lambda: then_wait(loop().stop),
    "stop_soon": lambda: then_wait(lambda: loop().call_soon(loop().stop)),
    "stop_twice": lambda: then_wait(lambda: [loop().stop() for _ in range(3)]),
    "close": lambda: then_wait(loop().close),
    "factory": lambda: then_wait(lambda: loop().set_task_factory(lambda *_, **__: None)),
    "signals": lambda: then_wait(stop_signal_handler),
    "executors": lambda: loop().shutdown_default_executor(),
    "str_exit": lambda: raises(Hostile(SystemExit(3))),
    "str_interrupt": lambda: raises(Hostile(KeyboardInterrupt())),
    "str_cancel": lambda: raises(Hostile(asyncio.CancelledError())),
    "closed": lambda: asyncio.gather(raises(GeneratorExit()), asyncio.sleep(1)),
    "exits": lambda: raises(SystemExit(2)),
    "running_loop": lambda: then_wait(lambda: asyncio._set_running_loop(None)),
}

async def handler_of_exceptions():
    loop().set_exception_handler(lambda *_: sys.exit(3))
    loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.05)

async def protocol():
    transport, _ = await loop().create_datagram_endpoint(Protocol, ("127.0.0.1", 0))
    transport.sendto(b"x", transport.get_extra_info("sockname"))
    await asyncio.sleep(0.05)
    transport.close()

async def finaliser():
    kept = Resentful()
    del kept

async def stray_thread():
    running = loop()
    thread(lambda: running.call_soon_threadsafe(sys.exit, 3))
    thread(lambda: running.call_soon_threadsafe(running.stop))
    await asyncio.sleep(0.05)

async def thread_exits():
    thread(lambda: sys.exit(3))

background = []

async def left_behind():
    background.append(asyncio.create_task(later()))
    loop().call_later(0.05, sys.exit, 3)
    loop().call_later(0.05, loop().stop)

async def later():
    await asyncio.sleep(0.05)
    sys.exit(3)

async def no_running_loop():
    asyncio._set_running_loop(None)

async def no_running_loop_later():
    running = loop()
    running.call_soon(asyncio._set_running_loop, None)
    task = asyncio.create_task(no_running_loop())
    await asyncio.wait([task])
    await asyncio.sleep(0)
    asyncio._set_running_loop(None)

async def loop_within():
    asyncio._set_running_loop(None)
    asyncio.run(asyncio.sleep(0))

HARMLESS = {
    "no_running_loop": no_running_loop,
    "no_running_loop_later": no_running_loop_later,
    "loop_within": loop_within,
    "protocol": protocol,
    "finaliser": finaliser,
    "stray_thread": stray_thread,
    "thread_exits": thread_exits,
    "left_behind": left_behind,
}

bad = Subscription("bad", events=["*"], concurrency=4, retry=Retry(max_attempts=2, first_delay=0.01, max_delay=0.02))
beside = Subscription("beside", events=["*"], concurrency=4, retry=Retry(max_attempts=1))

@bad.handler
async def handle(event: Event) -> None:
    note("bad", event)
    if event.id in BAD:
        await BAD[event.id]()
        await waits()
    if event.id == "handler_of_exceptions":
        await handler_of_exceptions()
    if event.id in HARMLESS:
        await HARMLESS[event.id]()

@beside.handler
async def go_on(event: Event) -> None:
    await asyncio.sleep(0.02)
    note("beside", event)
"""

ERRORS = {
    "gather": "SystemExit",
    "task": "SystemExit",
    "swallowed": "SystemExit",
    "group": "SystemExit",
    "interrupt": "KeyboardInterrupt",
    "wait_for": "SystemExit",
    "call_soon": "SystemExit",
    "call_later": "SystemExit",
    "call_at": "SystemExit",
    "threadsafe": "SystemExit",
    "done_callback": "SystemExit",
    "readable": "SystemExit",
    "generator": "SystemExit",
    "to_thread": "SystemExit",
    "executor": "SystemExit",
    "stop": "LoopStopped",
    "stop_soon": "LoopStopped",
    "stop_twice": "LoopStopped",
    "close": "RuntimeError",
    "factory": "NotYours",
    "signals": "NotYours",
    "executors": "NotYours",
    "str_exit": "Hostile",
    "str_interrupt": "Hostile",
    "str_cancel": "Hostile",
    "closed": "LaneLost",  # Python closes what awaits a GeneratorExit, up to the lane itself
    "exits": "SystemExit",
    "running_loop": "RuntimeError",
}
"""How each event of BAD fails."""
HARMLESS = [
    *("handler_of_exceptions", "protocol", "finaliser", "stray_thread", "thread_exits", "left_behind"),
    *("no_running_loop", "no_running_loop_later", "loop_within"),
]
"""What would end a process too, but is over when the handler returns, or not the attempt's for sure."""


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system with an ingress."""
    async with running_system(tmp_path) as running:
        await running.start("ingress")
        await running.ready()
        yield running


async def _finished(system: System) -> bool:
    streams = await system.json("streams")
    ways = [way for stream in streams for way in stream["subscriptions"]]
    return bool(ways) and not any(way["lag"] + way["pending"] + way["scheduled"] for way in ways)


async def test_no_exit_of_a_handlers_code_ends_the_worker(system: System) -> None:
    """What escapes from an attempt's tasks and callbacks counts as its failure; others, and who is beside it, go on."""
    good = [f"good-{number}" for number in range(20)]
    worker = await system.start("worker", system.module(ESCAPES), ROUTER_OPS__PORT="0")
    await system.post_many([*good[:10], *ERRORS, *HARMLESS, *good[10:]])
    everything = {*good, *ERRORS, *HARMLESS}
    await eventually(lambda: set(system.handled()) >= everything, timeout=60)
    await eventually(lambda: _finished(system), timeout=60, interval=0.5)
    assert worker.returncode is None
    assert system.handled("beside") == dict.fromkeys(everything, 1)
    assert system.handled("bad") == {**dict.fromkeys(everything, 1), **dict.fromkeys(ERRORS, ATTEMPTS)}
    letters = {row["id"]: row for row in await system.json("dlq", "list")}
    assert {name: letter["error"] for name, letter in letters.items()} == ERRORS
    assert {letter["attempts"] for letter in letters.values()} == {ATTEMPTS}
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), 30) == 0


CANCELS = """
bad = Subscription("bad", events=["*"], concurrency=4, retry=Retry(max_attempts=2, first_delay=0.01, max_delay=0.02))
beside = Subscription("beside", events=["*"], concurrency=4, retry=Retry(max_attempts=1))

@bad.handler
async def handle(event: Event) -> None:
    note("bad", event)
    if event.id.startswith("cancels"):
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(30)
    await asyncio.sleep(0.01)

@beside.handler
async def go_on(event: Event) -> None:
    await asyncio.sleep(0.02)
    note("beside", event)
"""


async def test_a_handler_that_cancels_all_tasks_ends_only_itself(system: System) -> None:
    """Neither the tasks of the worker nor other attempts are its own: it fails, and everything else goes on."""
    good, bad = ([f"{name}-{number}" for number in range(10)] for name in ("good", "cancels"))
    worker = await system.start("worker", system.module(CANCELS), ROUTER_OPS__PORT="0")
    await system.post_many([name for pair in zip(good, bad, strict=True) for name in pair])
    await eventually(lambda: set(system.handled("beside")) >= {*good, *bad}, timeout=60)
    await eventually(lambda: _finished(system), timeout=60, interval=0.5)
    assert worker.returncode is None
    assert system.handled("beside") == dict.fromkeys([*good, *bad], 1)
    assert system.handled("bad") == {**dict.fromkeys(good, 1), **dict.fromkeys(bad, ATTEMPTS)}
    letters = {row["id"]: row["error"] for row in await system.json("dlq", "list")}
    assert letters == dict.fromkeys(bad, "CancelledError")
