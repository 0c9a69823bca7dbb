"""The open loop: sends on time whatever the answers do, and counts each latency from the time at which it was due.

`python -m bench.open_loop PORT FILE SKIP COUNT RATE OUT` sends COUNT requests of a file over up to 64 connections, RATE
a second, or with a rate of 0 each as soon as a connection is free. A request that finds all connections busy waits for
one, and its latency goes on counting. It is one thread without an event loop, whose timers are whole milliseconds.
"""

import gc
import json
import re
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.plan import WorkNotDone
from bench.stats import percentile

__all__ = ["Paced", "open_loop"]

_CONNECTIONS = 64
_SECOND = 1_000_000_000
_LEAD = _SECOND // 20
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Paced(NamedTuple):
    """What was sent when (nanoseconds of the monotonic clock, as intended) and answered how much later."""

    intended: list[int]
    latencies: list[int]
    lateness: list[int]

    def latency(self, part: float) -> float:
        """Return a percentile of the latencies in milliseconds."""
        return percentile(sorted(self.latencies), part) / 1e6

    @property
    def sender_late(self) -> float:
        """How many milliseconds late the sender itself was for one in a hundred that a connection was free for."""
        return percentile(sorted(self.lateness), 0.99) / 1e6 if self.lateness else 0.0

    @property
    def seconds(self) -> float:
        """From the first intended to the last answered."""
        return (max(map(sum, zip(self.intended, self.latencies, strict=True))) - self.intended[0]) / _SECOND


def open_loop(port: int, requests: Path, *, skip: int, count: int, rate: float) -> Paced:
    """Run the sender as a process of its own; raises WorkNotDone when an answer is no 2xx, or missing."""
    out = requests.with_name("paced.json")
    arguments = (str(port), str(requests), str(skip), str(count), str(rate), str(out))
    done = subprocess.run((sys.executable, "-m", "bench.open_loop", *arguments), stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise WorkNotDone(f"the sender failed: {done.stderr.decode()[-500:]}")
    found = json.loads(out.read_text())
    bad = {status: number for status, number in found["statuses"].items() if not status.startswith("2")}
    if bad:
        raise WorkNotDone(f"answers that were no 2xx: {bad}")
    return Paced(found["intended"], found["latencies"], found["lateness"])


class _Sender:
    def __init__(self, port: int, requests: Sequence[bytes], rate: float) -> None:
        self._requests = requests
        self._interval = _SECOND / rate if rate else 0.0
        self._free = deque(_connected(port) for _ in range(min(_CONNECTIONS, len(requests))))
        self._busy: dict[socket.socket, int] = {}
        self._partial: dict[socket.socket, bytes] = {}
        self._intended = [0] * len(requests)
        self._latencies = [0] * len(requests)
        self._lateness: list[int] = []
        self._statuses: Counter[str] = Counter()

    def run(self) -> dict[str, object]:
        """Send all, and return what became of them."""
        start, sent, total = time.monotonic_ns() + _LEAD, 0, len(self._requests)
        blocked = False
        while sent < total or self._busy:
            now = time.monotonic_ns()
            while sent < total and self._free and start + sent * self._interval <= now:
                self._send(sent, int(start + sent * self._interval) if self._interval else now, now, blocked=blocked)
                sent += 1
                now = time.monotonic_ns()
            due = start + sent * self._interval
            blocked = sent < total and not self._free and due <= now
            wait = max(0.0, (due - now) / _SECOND) if sent < total and self._free else 10.0
            readable, _, _ = select.select(list(self._busy), (), (), wait)
            for connection in readable:
                self._receive(connection)
            if not readable and wait == 10.0:
                raise TimeoutError(f"no answer within 10 s to {len(self._busy)} requests")
        return {
            "intended": self._intended,
            "latencies": self._latencies,
            "lateness": self._lateness,
            "statuses": self._statuses,
        }

    def _send(self, number: int, intended: int, now: int, *, blocked: bool) -> None:
        connection = self._free.popleft()
        self._intended[number] = intended
        if not blocked:
            self._lateness.append(now - intended)
        self._busy[connection] = number
        connection.sendall(self._requests[number])

    def _receive(self, connection: socket.socket) -> None:
        data = self._partial.pop(connection, b"") + connection.recv(65536)
        head = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data) if head > 0 else None
        if length is None or len(data) < head + 4 + int(length[1]):
            self._partial[connection] = data
            return
        number = self._busy.pop(connection)
        self._latencies[number] = time.monotonic_ns() - self._intended[number]
        self._statuses[data[9:12].decode()] += 1
        self._free.append(connection)


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _main(port: str, file: str, skip: str, count: str, rate: str, out: str) -> None:
    requests = Path(file).read_bytes().split(b"\0")[int(skip) : int(skip) + int(count)]
    if len(requests) < int(count):
        raise SystemExit(f"{file} holds too few requests")
    sender = _Sender(int(port), requests, float(rate))
    gc.disable()  # it would be the sender's pauses that are measured
    Path(out).write_text(json.dumps(sender.run()))


if __name__ == "__main__":
    _main(*sys.argv[1:])
