"""How this router is run: its ingress and its worker as their users start them, with every default."""

import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from bench.bodies import SECRET
from bench.processes import Process, free_port, listening
from bench.servers import Server

__all__ = ["Router", "items_by_outcome"]

_PUBLISHERS = ("VISMA_NET_FINANCIAL", "VISMA_NET_ERP_SALESORDERSERVICE", "VISMA_NET_JOURNAL_TRANSACTION")
_SUBJECTS = Path(__file__).with_name("subjects")


class Router:
    """Processes of one checkout on one server; `tree` is the checkout, by default the one that is installed."""

    def __init__(self, server: Server, folder: Path, tree: Path | None = None) -> None:
        self.port = free_port()
        self._folder = folder
        self._tree = tree
        self._started = 0
        self._environment = {
            "ROUTER_REDIS__URL": server.url,
            "ROUTER_DATA_DIR": str(folder / "data"),
            "ROUTER_INGRESS__HOST": "127.0.0.1",
            "ROUTER_INGRESS__PORT": str(self.port),
            **{f"ROUTER_SECRETS__{name}": SECRET for name in _PUBLISHERS},
            "ROUTER_LOG__FORMAT": "json",
        }
        self.ops = 0

    def ingress(self, processes: int = 1) -> Process:
        """Start ingress, and return it once it listens."""
        process = self._start("ingress", {"ROUTER_INGRESS__PROCESSES": str(processes)})
        process.until(lambda: listening(self.port) and self._is_ready(), "ingress is ready")
        return process

    def worker(self, ledger: Path, **variables: str) -> Process:
        """Start the worker of the benchmark, which notes what it handles in the ledger."""
        module = str(_SUBJECTS / "router_worker.py")
        return self._start("worker", {"LEDGER": str(ledger), **variables}, module)

    def ready_worker(self, ledger: Path, **variables: str) -> Process:
        """Start it, and return it once its subscriptions are ready."""
        process = self.worker(ledger, **variables)
        process.until(self._is_ready, "the worker is ready")
        return process

    def command(self, *arguments: str) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return a command line of this router, and the environment it takes."""
        paths = [str(_SUBJECTS)] + ([str(self._tree)] if self._tree else [])
        environment = {**self._environment, "PYTHONPATH": ":".join([*paths, *_inherited()])}
        return (sys.executable, "-P", "-m", "router.cli.main", *arguments), environment

    def metrics(self) -> str:
        """Return what the process that was started last counts."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ops}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def _start(self, verb: str, variables: Mapping[str, str], *arguments: str) -> Process:
        self.ops = free_port()
        self._started += 1
        command, environment = self.command(verb, *arguments)
        environment |= {"ROUTER_OPS__PORT": str(self.ops), **variables}
        return Process(command, self._folder, name=f"{verb}-{self._started}", env=environment)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def items_by_outcome(metrics: str) -> dict[str, int]:
    """Return how many items an ingress has accepted, and how many were duplicates, of its metrics' text."""
    found: dict[str, int] = {}
    for line in metrics.splitlines():
        if line.startswith("event_router_items_total{"):
            outcome = line.partition('outcome="')[2].partition('"')[0]
            found[outcome] = found.get(outcome, 0) + int(float(line.rpartition(" ")[2]))
    return found


def _inherited() -> list[str]:
    """Return the folders that this process was given beyond the installed packages."""
    return [part for part in os.environ.get("PYTHONPATH", "").split(":") if part]
