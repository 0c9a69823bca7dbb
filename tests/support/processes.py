"""The router as its users start it: processes of the command line, each test's own, ended with the test."""

import asyncio
import base64
import contextlib
import hmac
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from support.ports import reserve
from support.waiting import eventually

__all__ = ["SECRET", "System", "ledger", "running_system"]

SECRET = "dGVzdC1zZWNyZXQ="
FINANCIAL = "visma-net-financial"

WORKER = """
import asyncio, json, os, signal, time
from pathlib import Path
from workers import Delivery, Event, Retry, Subscription

ledger = Path(os.environ["LEDGER"]).open("a", buffering=1)

def note(subscription, event):
    ledger.write(json.dumps({"subscription": subscription, "id": event.id, "pid": os.getpid()}) + "\\n")

"""
"""How the worker modules of the tests begin: `note` writes a line for each event handled."""


def ledger(file: Path) -> list[dict[str, Any]]:
    """Return what the handlers wrote down; the last line may be half written when its process was killed."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


class System:
    """One system under test: its folder, its environment, its processes."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = reserve()
        self.ops = reserve(4)  # under `up`: of two ingresses, the worker and the console
        self.ledger = folder / "ledger.jsonl"
        self.processes: list[asyncio.subprocess.Process] = []
        self._started = 0
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")},
            "ROUTER_DATA_DIR": str(folder / "data"),
            "ROUTER_INGRESS__HOST": "127.0.0.1",
            "ROUTER_INGRESS__PORT": str(self.port),
            "ROUTER_OPS__PORT": str(self.ops),
            "ROUTER_SECRETS__VISMA_NET_FINANCIAL": SECRET,
            "ROUTER_WORKERS__LEASE": "1",
            "ROUTER_LOG__FORMAT": "json",
            "LEDGER": str(self.ledger),
            **(environment or {}),
        }

    def module(self, source: str, name: str = "handlers") -> str:
        """Write a worker module, or write it anew; return its path."""
        path = self.folder / f"{name}.py"
        before = path.stat().st_mtime if path.exists() else 0.0
        path.write_text(WORKER + source)
        if before:  # Python takes a file of the same second and size for the one whose bytecode it has
            os.utime(path, (time.time(), before + 1))
        return str(path)

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        """Start a command of the router."""
        log = (self.folder / f"{arguments[0]}-{self._started}.log").open("wb")
        self._started += 1
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "router.cli.main", *arguments),
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        self.processes.append(process)
        return process

    async def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run a command to its end; return its exit code, output and messages."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "router.cli.main", *arguments),
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        # Shown where a test fails, as are the logs.
        sys.stdout.write(f"{' '.join(arguments)}: {process.returncode} {out[-500:]!r} {err[-2000:]!r}\n")
        return process.returncode, out.decode(), err.decode()

    async def json(self, *arguments: str) -> Any:
        """Return what a reading command says with `--json`."""
        code, out, err = await self.run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    async def ready(self, port: int | None = None) -> None:
        """Wait until an operations port says that its process is ready."""

        async def answers() -> bool:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with aiohttp.ClientSession() as session, session.get(self.ops_url("/readyz", port)) as response:
                    return response.status == 200
            return False

        await eventually(answers)

    def ops_url(self, path: str, port: int | None = None) -> str:
        """Return a URL of an operations port."""
        return f"http://127.0.0.1:{port or self.ops}{path}"

    async def post(
        self,
        items: Any,
        *,
        secret: str = SECRET,
        publisher: str = FINANCIAL,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Post one signed webhook; return the status and the decoded answer."""
        body = items if isinstance(items, bytes) else json.dumps(items).encode()
        signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
        url = f"http://127.0.0.1:{self.port}/webhooks/{publisher}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers={"x-vwd-signature-v1": signature, **(headers or {})}) as response,
        ):
            return response.status, json.loads(await response.read())

    async def post_many(self, ids: Sequence[str], event: str = "customer_changed") -> None:
        """Post one notification for each id, in arrays of fifty."""
        for start in range(0, len(ids), 50):
            status, _ = await self.post([{"notificationId": id_, "event": event} for id_ in ids[start : start + 50]])
            assert status == 202

    def handled(self, subscription: str | None = None) -> Counter[str]:
        """Return how often each event was handled, by one subscription or by all."""
        rows = ledger(self.ledger)
        return Counter(row["id"] for row in rows if subscription in (None, row["subscription"]))

    def logs(self) -> str:
        """Return what all processes have logged."""
        return "\n".join(file.read_text(errors="replace") for file in sorted(self.folder.glob("*.log")))

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event; the last line may be half written."""
        lines = (line for line in self.logs().splitlines() if line.startswith("{") and line.endswith("}"))
        return [said for said in map(json.loads, lines) if said.get("event") == event]


@contextlib.asynccontextmanager
async def running_system(folder: Path, **environment: str) -> AsyncIterator[System]:
    """Yield a system, and end its processes: asked first, so that they end their own children."""
    system = System(folder, environment)
    try:
        yield system
    finally:
        for process in system.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in system.processes:
            try:
                await asyncio.wait_for(process.wait(), 40)
            except TimeoutError:
                process.kill()
                await process.wait()
        sys.stdout.write(system.logs()[-20_000:])
