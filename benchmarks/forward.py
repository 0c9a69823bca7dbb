"""How many events a second are forwarded, and whether a slow receiver delays a fast one.

    .venv/bin/python benchmarks/forward.py rate --events 30000 --processes 2
    .venv/bin/python benchmarks/forward.py beside --seconds 30 --rate 100

Starts the embedded server in a temporary folder, `event-router forward` as a user would, and receivers in processes of
their own. `rate` fills a stream and forwards it as fast as it goes: signed, with a breaker, each event by a request of
its own. `beside` appends events at a rate and prints the times from the append to the arrival at two receivers that
answer after 5 ms: one has a process alone, the other shares one with a receiver that answers after 30 s. Both get each
event at the same time, so that what else the machine does hits both. Each event's id has the time of its append.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from config.settings import Settings
from router.embedded.access import open_store
from router.store import scripts
from router.store.client import Store

STREAM = "visma-net-financial/customer_changed"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = {
    "event": "customer_changed",
    "contextId": "5100001",
    "action": "UPDATED",
    "resourceId": "55555",
    "resourceUri": "https://api.finance.visma.net/v1/customer/55555",
    "relativeResourceUri": "v1/customer/55555",
    "TenantId": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "IsScheduler": False,
}


class Hook(asyncio.Protocol):
    """Answers each request with 200 after a while; GET with what came so far."""

    waits: list[float] = []  # noqa: RUF012 - of the process
    ids: set[str] = set()  # noqa: RUF012 - likewise
    count = 0

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take requests out of what came."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"get"):
            told = json.dumps({"waits": Hook.waits, "ids": len(Hook.ids), "count": Hook.count, "cpu": cpu_of_this()})
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(told) + told.encode())
            return
        id_ = head.partition(b"webhook-id:")[2].partition(b"\r\n")[0].decode().strip().rpartition("/")[2]
        Hook.count += 1
        Hook.ids.add(id_)
        Hook.waits.append(time.time() - int(id_.partition("-")[0]) / 1e9)
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self._write)
        else:
            self._write()

    def _write(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def cpu_of_this() -> float:
    """Return the seconds of processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def receive(delay: float) -> None:
    """Serve at a free port, which is printed, until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Hook(delay), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Receiver(NamedTuple):
    """A receiver in a process of its own."""

    port: int

    async def told(self) -> dict[str, Any]:
        """Return what it got."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        found: dict[str, Any] = json.loads(await reader.readexactly(length))
        writer.close()
        return found


@contextlib.contextmanager
def receiver(delay: float) -> Iterator[Receiver]:
    """Yield a receiver that answers after `delay` seconds."""
    command = [sys.executable, __file__, "receive", "--delay", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Receiver(int(process.stdout.readline()))
        finally:
            process.kill()


@contextlib.contextmanager
def forwarding(folder: Path, url: str, processes: int, **receivers: Receiver) -> Iterator[list[int]]:
    """Run `event-router forward`; yield the ids of the processes."""
    tables = [
        f'[[forward]]\nname = "{name}"\nevents = ["{STREAM}"]\nurl = "http://127.0.0.1:{found.port}/hook"\n'
        f'secret = "{SECRET}"\nallow_private = ["127.0.0.0/8"]\ntimeout = 60\n'
        for name, found in receivers.items()
    ]
    file = folder / f"{'-'.join(receivers)}.toml"
    file.write_text("\n".join(tables))
    environ = {
        **os.environ,
        "ROUTER_CONFIG": str(file),
        "ROUTER_REDIS__URL": url,
        "ROUTER_OPS__PORT": "0",
        "ROUTER_LOG__LEVEL": "error",
        "ROUTER_WORKERS__SHUTDOWN_TIMEOUT": "1",
        "ROUTER_DATA_DIR": str(folder),
    }
    command = [sys.executable, "-P", "-m", "router.cli.main", "forward"]
    running = [subprocess.Popen(command, env=environ) for _ in range(processes)]
    try:
        yield [process.pid for process in running]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


def cpu_of(pid: int) -> float:
    """Return the seconds of processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def append(store: Store, number: int) -> None:
    """Append so many events, whose ids have the time."""
    for start in range(0, number, scripts.BATCH):
        fields, markers = list[scripts.Field](), list[str]()
        for index in range(start, min(number, start + scripts.BATCH)):
            now = time.time()
            id_ = f"{int(now * 1e9)}-{index}"
            fields += ["id", id_, "at", int(now * 1000), "raw", json.dumps({**BODY, "NotificationId": id_})]
            markers.append(store.keys.seen(STREAM, id_))
        await store.call(scripts.append(store.keys.events(STREAM), markers, fields, 60_000))


async def got(found: Receiver, number: int) -> dict[str, Any]:
    """Wait until a receiver got so many events; return what it tells."""
    while (told := await found.told())["ids"] < number:  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.05)
    return told


async def rate(store: Store, folder: Path, url: str, events: int, processes: int) -> int:
    """Forward a stream as fast as it goes."""
    await append(store, events)
    with receiver(0) as found, forwarding(folder, url, processes, crm=found) as pids:
        await got(found, 1)
        began, before, first = time.monotonic(), sum(map(cpu_of, pids)), (await found.told())["ids"]
        told = await got(found, events)
        seconds, used = time.monotonic() - began, sum(map(cpu_of, pids)) - before
        done = events - first
        print(f"{done / seconds:,.0f} events a second over {processes} processes, {told['count'] - events} twice")
        forwarded, received = used / done * 1e6, told["cpu"] / events * 1e6
        print(f"processor time of an event: {forwarded:.0f} us to forward, {received:.0f} us to receive")
    return 0


async def feed(store: Store, seconds: float, pace: float) -> None:
    """Append events one by one at a pace."""
    began, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        if missing := int(elapsed * pace) - sent:
            await append(store, missing)
            sent += missing
        await asyncio.sleep(0.5 / pace)


async def waits(store: Store, folder: Path, url: str, seconds: float, pace: float) -> tuple[list[float], list[float]]:
    """Return for how long events went to the fast receivers: the one alone, and the one beside the slow one."""
    with receiver(0.005) as alone, receiver(0.005) as shared, receiver(30) as slow:
        one, two = forwarding(folder, url, 1, alone=alone), forwarding(folder, url, 1, shared=shared, slow=slow)
        with one, two:
            await append(store, 1)
            for each in (alone, shared, slow):
                await got(each, 1)
            await feed(store, 2, pace)  # until the slow one has all that it may have at once
            skipped = [(await each.told())["count"] for each in (alone, shared)]
            await feed(store, seconds, pace)
            await asyncio.sleep(1)
            found = [(await each.told())["waits"] for each in (alone, shared)]
    await store.client.flushall()
    return found[0][skipped[0] :], found[1][skipped[1] :]


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that so many do not exceed, in milliseconds."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] * 1000


async def beside(store: Store, folder: Path, url: str, seconds: float, pace: float, rounds: int) -> int:
    """Compare the fast receiver alone and beside the slow one, at the same time."""
    p99s = list[tuple[float, float]]()
    for _ in range(rounds):
        both = await waits(store, folder, url, seconds, pace)
        for name, values in zip(("alone", "beside 30 s"), both, strict=True):
            shown = ", ".join(f"p{part * 100:g} {percentile(values, part):.1f} ms" for part in (0.5, 0.95, 0.99))
            print(f"{name:>12}: {len(values)} events, {shown}", flush=True)
        p99s.append((percentile(both[0], 0.99), percentile(both[1], 0.99)))
    alone, shared = (statistics.median(each[place] for each in p99s) for place in (0, 1))
    more = statistics.median(each[1] / each[0] for each in p99s) - 1
    print(f"p99, median of {rounds} rounds: {alone:.1f} ms alone, {shared:.1f} ms beside it; of the ratios {more:+.0%}")
    return 0 if more <= 0.1 else 1


async def main(arguments: argparse.Namespace) -> int:
    """Run what was asked for; return the exit code."""
    if arguments.what == "receive":
        await receive(arguments.delay)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with open_store(Settings(data_dir=folder)) as store:
            url = f"unix://{next(folder.rglob('*.sock'))}"
            if arguments.what == "rate":
                return await rate(store, folder, url, arguments.events, arguments.processes)
            return await beside(store, folder, url, arguments.seconds, arguments.rate, arguments.rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("rate", "beside", "receive"))
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=100, help="events a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0)
    sys.exit(uvloop.run(main(parser.parse_args())))
