"""Send events through a real ingress and a real no-op worker: is every id handled, how fast, is memory flat.

    .venv/bin/python benchmarks/flow.py --events 20000

Starts the embedded server, one ingress and one worker as processes of their own in a temporary folder, posts signed
single notifications over 64 connections in several rounds, and prints for each round the rates, and the resident memory
of both processes after it. Exits with 1 if an id was not handled, or handled twice.
"""

import argparse
import asyncio
import base64
import hmac
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import uvloop

SECRET = "benchmark-secret"
PATH = "/webhooks/visma-net-financial"
CONNECTIONS = 64

WORKER = """
import os
from workers import Event, Subscription

noop = Subscription("noop", events=["*"])
ledger = open(os.environ["LEDGER"], "a", buffering=1 << 16)

@noop.handler
async def handle(event: Event) -> None:
    ledger.write(event.id + "\\n")
    if event.id.endswith("-last"):
        ledger.flush()
"""


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def request(event_id: str) -> bytes:
    """Return one whole signed HTTP request."""
    item = {
        "NotificationId": event_id,
        "contextId": "5100001",
        "event": "customer_changed",
        "action": "UPDATED",
        "resourceId": "55555",
        "resourceUri": "https://api.finance.visma.net/v1/customer/55555",
        "relativeResourceUri": "v1/customer/55555",
        "timeStamp": 638974335577900000,
        "ApiClientId": None,
        "TenantId": "f6cd9000-0000-4000-8000-000000006183",
        "IsScheduler": False,
        "ConnectId": "18eb1000-0000-4000-8000-000000040666",
    }
    body = json.dumps(item).encode()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"x-vwd-signature-v1: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def sender(port: int, requests: list[bytes], statuses: Counter[bytes]) -> None:
    """Send requests one after the other over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for data in requests:
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        statuses[head[9:12]] += 1
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


def resident(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def wait_for(condition: object, what: str) -> None:
    """Wait until a condition holds, a minute at the most."""
    for _ in range(6000):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.01)
    sys.exit(f"gave up waiting for {what}")


def listening(port: int) -> bool:
    """Return whether a port accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def main(events: int, rounds: int) -> int:
    """Run the benchmark; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        port, ledger, module = free_port(), Path(folder, "ledger"), Path(folder, "noop.py")
        module.write_text(WORKER)
        environment = {
            **os.environ,
            "ROUTER_DATA_DIR": folder + "/data",
            "ROUTER_INGRESS__PORT": str(port),
            "ROUTER_OPS__PORT": "0",
            "ROUTER_SECRETS__VISMA_NET_FINANCIAL": SECRET,
            "ROUTER_LOG__LEVEL": "error",
            "LEDGER": str(ledger),
        }
        command = (sys.executable, "-m", "router.cli.main")
        ingress = await asyncio.create_subprocess_exec(*command, "ingress", env=environment)
        await wait_for(lambda: listening(port), "ingress")
        worker = await asyncio.create_subprocess_exec(*command, "worker", str(module), env=environment)
        per_round = events // rounds
        try:
            for number in range(rounds):
                ids = [f"r{number}-{index}" for index in range(per_round - 1)] + [f"r{number}-last"]
                requests = [request(event_id) for event_id in ids]
                statuses: Counter[bytes] = Counter()
                started = time.perf_counter()
                await asyncio.gather(*(sender(port, requests[i::CONNECTIONS], statuses) for i in range(CONNECTIONS)))
                accepted = time.perf_counter() - started
                expected = per_round * (number + 1)
                ledger.touch()
                last = f"r{number}-last"
                await wait_for(lambda last=last: last in ledger.read_text(), "the last event")
                handled = time.perf_counter() - started
                print(
                    f"round {number + 1}: {dict(statuses)}  accepted {per_round / accepted:,.0f}/s"
                    f"  handled {per_round / handled:,.0f}/s end to end"
                    f"  RSS ingress {resident(ingress.pid):.1f} MiB, worker {resident(worker.pid):.1f} MiB"
                )
        finally:
            for process in (worker, ingress):
                process.send_signal(signal.SIGTERM)
                await process.wait()
        seen = Counter(ledger.read_text().split())
        doubled = sum(count - 1 for count in seen.values())
        print(f"{events} sent, {len(seen)} handled, {expected - len(seen)} lost, {doubled} doubled")
        return 0 if len(seen) == expected and not doubled else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    sys.exit(uvloop.run(main(arguments.events, arguments.rounds)))
