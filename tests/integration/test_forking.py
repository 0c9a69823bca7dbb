"""Processes that handlers fork: they are the handler's own, and keep nothing of the worker's."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.processes import System, ledger, running_system
from support.waiting import eventually

from router.embedded.process import is_locked

BEGIN = """
import multiprocessing, socket, subprocess, sys, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

fork = multiprocessing.get_context("fork")
subscription = Subscription("forking", events=["*"], retry=Retry(max_attempts=1), timeout=None)

def say(**fields):
    os.write(ledger.fileno(), (json.dumps(fields) + "\\n").encode())  # another thread may hold the file at a fork

def job():
    pass

def getpid(_number):
    return os.getpid()

def wait():
    say(child=os.getpid())
    time.sleep(600)

"""
KINDS = {
    "async": "@subscription.handler\nasync def handle(event: Event) -> None:\n",
    "plain": "@subscription.handler\ndef handle(event: Event) -> None:\n",
    "pool": "@subscription.handler\nasync def handle(event: Event) -> None:\n    await asyncio.to_thread(work, event)\n"
    "def work(event: Event) -> None:\n",
    "own": "pool = ThreadPoolExecutor(1)\n@subscription.handler\nasync def handle(event: Event) -> None:\n"
    "    await asyncio.wrap_future(pool.submit(work, event))\ndef work(event: Event) -> None:\n",
}
pytestmark = [pytest.mark.real]


class Forking:
    """A worker whose handler forks, and what its children said."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.worker: asyncio.subprocess.Process | None = None

    async def start(self, kind: str, body: str) -> asyncio.subprocess.Process:
        """Run a worker whose handler has this body."""
        lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
        module = self.system.module(BEGIN + KINDS[kind] + lines)
        await self.system.start("ingress", ROUTER_OPS__PORT="0")
        self.worker = await self.system.start("worker", module)
        await self.system.ready()
        return self.worker

    async def send(self, id_: str) -> None:
        """Send one event."""
        await eventually(lambda: self._accepts(id_), timeout=20, interval=0.1)

    async def _accepts(self, id_: str) -> bool:
        try:
            return (await self.system.post({"notificationId": id_, "event": "customer_changed"}))[0] == 202
        except aiohttp.ClientError:
            return False

    def said(self, name: str) -> list[Any]:
        """Return the values of a field, in the order in which they were said."""
        return [row[name] for row in ledger(self.system.ledger) if name in row]


@pytest.fixture
async def forking(tmp_path: Path) -> AsyncIterator[Forking]:
    """Yield a system; the children of its handlers end with it."""
    async with running_system(tmp_path) as system:
        found = Forking(system)
        yield found
    for pid in found.said("child"):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def every_kind(quick: str) -> pytest.MarkDecorator:
    """Try every kind of handler; all but one of them take long."""
    others = [pytest.param(kind, marks=pytest.mark.long) for kind in sorted(KINDS.keys() - {quick, "own"})]
    return pytest.mark.parametrize("kind", [quick, *others])


@every_kind("plain")
async def test_a_child_ends_by_its_own_signals_and_the_worker_goes_on(forking: Forking, kind: str) -> None:
    """A child that is terminated ends by that signal; its parent is not asked to stop, and handles what comes next."""
    worker = await forking.start(
        kind,
        """
for number in (signal.SIGTERM, signal.SIGHUP):
    child = fork.Process(target=wait)
    child.start()
    while json.dumps({"child": child.pid}) not in Path(ledger.name).read_text():
        time.sleep(0.01)
    os.kill(child.pid, number)
    child.join()
    say(code=child.exitcode, event=event.id)
""",
    )
    for id_ in ("one", "two"):
        await forking.send(id_)
        await eventually(lambda id_=id_: forking.said("event").count(id_) == 2, timeout=20)  # type: ignore[misc]
    assert forking.said("code") == [-signal.SIGTERM, -signal.SIGHUP] * 2
    assert worker.returncode is None
    assert "worker_stopping" not in forking.system.logs()


@every_kind("pool")
@pytest.mark.long
async def test_a_child_that_ends_well_has_exit_code_0(forking: Forking, kind: str) -> None:
    """Whatever thread starts it, a child's exit code is that of its work: 0, its own, or 1 where it raised."""
    await forking.start(
        kind,
        """
for target in (job, lambda: sys.exit(7), lambda: 1 / 0, lambda: asyncio.run(asyncio.sleep(0)),
               lambda: ThreadPoolExecutor(1).submit(job).result(),
               lambda: [thread.start() for thread in [threading.Thread(target=job)]]):
    child = fork.Process(target=target)
    child.start()
    child.join()
    say(code=child.exitcode)
""",
    )
    await forking.send("one")
    await eventually(lambda: len(forking.said("code")) == 6, timeout=20)
    assert forking.said("code") == [0, 7, 1, 0, 0, 0]


@every_kind("async")
async def test_a_broken_pool_fails_its_event_alone(forking: Forking, kind: str) -> None:
    """A pool whose process is killed terminates the others of it, and neither the worker nor itself for good."""
    worker = await forking.start(
        kind,
        """
with ProcessPoolExecutor(2, mp_context=fork) as pool:
    pids = set()
    while len(pids) < 2:
        pids |= set(pool.map(getpid, range(8)))
    if event.id == "broken":
        pool.submit(os.kill, min(pids), signal.SIGKILL)
        say(event=event.id, broken=repr(pool.submit(time.sleep, 60).exception()))
        return
    say(event=event.id, sum=sum(pool.map(abs, range(10))))
""",
    )
    for id_ in ("broken", "whole"):
        await forking.send(id_)
        await eventually(lambda id_=id_: id_ in forking.said("event"), timeout=30)  # type: ignore[misc]
    assert "BrokenProcessPool" in forking.said("broken")[0]
    assert forking.said("sum") == [45]
    assert worker.returncode is None
    assert "worker_stopping" not in forking.system.logs()


@every_kind("plain")
async def test_a_child_keeps_nothing_of_a_killed_worker(forking: Forking, kind: str) -> None:
    """A child that outlives its worker holds neither the port, nor connections to the store; its own it keeps."""
    worker = await forking.start(
        kind,
        """
def peers():
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        with found:
            try:
                peer = found.getpeername()
            except OSError:
                peer = ""
            yield [found.getsockname(), peer] if not isinstance(peer, bytes) else [str(found.getsockname()), str(peer)]

mine = socket.create_server(("127.0.0.1", 0))

def outlive():
    say(sockets=list(peers()), port=mine.getsockname()[1], child=os.getpid())
    while True:
        mine.accept()[0].sendall(b"mine")

fork.Process(target=outlive).start()
mine.close()
time.sleep(600)
""".replace("time.sleep(600)", "say(done=1)" if kind == "async" else "time.sleep(600)"),
    )
    async with aiohttp.ClientSession() as session, session.get(forking.system.ops_url("/healthz")) as response:
        assert response.status == 200  # a connection that is kept alive while the child is forked
        await forking.send("one")
        await eventually(lambda: forking.said("child"), timeout=20)
    names = [str(name) for pair in forking.said("sockets")[0] for name in pair]
    assert not any(str(forking.system.ops) in name or "server.sock" in name for name in names), names
    worker.kill()
    await worker.wait()
    with pytest.raises(OSError, match="111"):
        await asyncio.open_connection("127.0.0.1", forking.system.ops)
    reader, writer = await asyncio.open_connection("127.0.0.1", forking.said("port")[0])
    assert await reader.read(4) == b"mine"
    writer.close()


@pytest.mark.long
async def test_a_child_does_not_own_the_embedded_server(forking: Forking) -> None:
    """The lock of a killed owner is free for the next one, whatever its handlers have forked."""
    system = forking.system
    module = system.module(BEGIN + KINDS["plain"] + "    fork.Process(target=wait).start()\n    time.sleep(600)\n")
    worker = await system.start("worker", module)
    await system.ready()
    assert is_locked(system.folder / "data" / "redis" / "owner.lock")
    ingress = await system.start("ingress", ROUTER_OPS__PORT="0")
    await forking.send("one")
    await eventually(lambda: forking.said("child"), timeout=20)
    ingress.kill()
    await ingress.wait()
    worker.kill()
    await worker.wait()
    assert not is_locked(system.folder / "data" / "redis" / "owner.lock")
    await system.start("ingress")  # ends the server in the end
    await system.ready()


@every_kind("async")
@pytest.mark.long
async def test_other_ways_to_start_a_process_work(forking: Forking, kind: str) -> None:
    """Plain commands, those with a `preexec_fn`, spawned processes and those of a fork server end with their codes."""
    await forking.start(
        kind,
        """
say(code=subprocess.run(["sh", "-c", "exit 3"]).returncode)
say(code=subprocess.run(["sh", "-c", "kill -TERM $$"], preexec_fn=job).returncode)
say(code=subprocess.run(["sleep", "0"], preexec_fn=job).returncode)
for way in ("spawn", "forkserver"):
    child = multiprocessing.get_context(way).Process(target=abs, args=(1,))
    child.start()
    child.join()
    say(code=child.exitcode)
say(masks=Path("/proc/thread-self/status").read_text().split("SigBlk:")[1].split()[0])
""",
    )
    await forking.send("one")
    await eventually(lambda: forking.said("masks"), timeout=40)
    assert forking.said("code") == [3, -signal.SIGTERM, 0, 0, 0]
    assert int(forking.said("masks")[0], 16) == 0


ENDINGS = {"return": 0, "sys.exit(7)": 7, "sys.exit('no')": 1, "raise ValueError('mine')": 1, "os._exit(5)": 5}
"""How the code of a process may end, and the exit code that Python gives it."""


@pytest.mark.parametrize(
    "kind", ["async", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("pool", "plain", "own"))]
)
async def test_a_forked_process_never_goes_on_as_a_second_worker(forking: Forking, kind: str) -> None:
    """However its code ends, a process that `os.fork` made ends where the handler does, as Python would end it."""
    ways = "\n".join(f"    if event.id[0] == '{number}': {ending}" for number, ending in enumerate(ENDINGS))
    await forking.start(
        kind,
        f"""
if not (pid := os.fork()):
    say(child=os.getpid())
{ways}
say(code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), pid=os.getpid(), event=event.id)
""",
    )
    codes = {f"{number}-{time}": code for time in "ab" for number, code in enumerate(ENDINGS.values())}
    for id_ in codes:
        await forking.send(id_)
    await eventually(lambda: len(forking.said("code")) == len(codes), timeout=40)
    assert dict(zip(forking.said("event"), forking.said("code"), strict=True)) == codes
    assert len(set(forking.said("pid"))) == 1
    assert len(set(forking.said("child"))) == len(codes)


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("await asyncio.sleep(0)", "use asyncio.run"),
        pytest.param("await asyncio.sleep(600)", "no running event loop", marks=pytest.mark.long),
    ],
)
async def test_a_forked_process_does_not_await_in_the_workers_loop(forking: Forking, way: str, why: str) -> None:
    """A child that awaits would run what waits in the loop a second time; it ends with 1 instead, and says why."""
    await forking.start(
        "async",
        f"""
if not (pid := os.fork()):
    say(child=os.getpid())
    {way}
    say(wrong=1)
    os._exit(0)
say(code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
    )
    await forking.send("one")
    await eventually(lambda: forking.said("code"), timeout=20)
    assert (forking.said("code"), forking.said("wrong")) == ([1], [])
    assert why in forking.system.logs()


@pytest.mark.long
async def test_a_task_of_a_handler_may_fork(forking: Forking) -> None:
    """A process that is forked in a task, or in a callback, ends with that."""
    await forking.start(
        "async",
        """
def fork_once():
    if not (pid := os.fork()):
        say(child=os.getpid())
        return
    say(code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

async def forked():
    fork_once()

await asyncio.gather(forked(), asyncio.create_task(forked()))
asyncio.get_running_loop().call_soon(fork_once)
await asyncio.sleep(0.1)
say(done=1)
""",
    )
    await forking.send("one")
    await eventually(lambda: forking.said("done"), timeout=20)
    assert forking.said("code") == [0, 0, 0]
    assert len(set(forking.said("child"))) == 3


async def test_a_pool_of_processes_may_be_awaited(forking: Forking) -> None:
    """`run_in_executor` takes a pool of processes, as everywhere, and what it runs in a thread has its context."""
    await forking.start(
        "async",
        """
import contextvars
variable = contextvars.ContextVar("variable", default=0)
variable.set(5)
with ProcessPoolExecutor(1, mp_context=fork) as pool:
    loop = asyncio.get_running_loop()
    say(sum=await loop.run_in_executor(pool, abs, -3), value=await loop.run_in_executor(None, variable.get))
""",
    )
    await forking.send("one")
    await eventually(lambda: forking.said("sum"), timeout=20)
    assert (forking.said("sum"), forking.said("value")) == ([3], [5])
