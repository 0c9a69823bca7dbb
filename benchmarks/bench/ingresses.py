"""The ingresses that are compared: what each does with a webhook, how it is started, what it leaves in the store."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.bodies import SECRET, STREAM
from bench.ours import Router, items_by_outcome
from bench.peers import Peers
from bench.plan import Plan, Samples, WorkNotDone
from bench.processes import Process, free_port, listening
from bench.servers import Server
from bench.wrk import CONNECTIONS

__all__ = ["BARE", "FASTSTREAM", "OURS", "Ingress", "Running", "ingresses"]

OURS = "ours"
BARE = "bare aiohttp"
FASTSTREAM = "FastAPI + FastStream"
_SUBJECTS = Path(__file__).with_name("subjects")
_FASTAPI = {
    FASTSTREAM: ("publish", "publishes to a Redis stream; no check, no deduplication"),
    "FastAPI + XADD": ("append", "appends to a Redis stream; no check, no deduplication"),
    "FastAPI + HMAC + SET NX + XADD": ("append_once", "verifies, deduplicates and appends, in two steps"),
}


@dataclass(frozen=True)
class Running:
    """An ingress that runs: its process, its port, and a check that so many answers (in all) have done their work."""

    process: Process
    port: int
    check: Callable[[int], None]


@dataclass(frozen=True)
class Ingress:
    """One that is compared; `start` runs it beside a server, with its files in a folder."""

    name: str
    features: str
    start: Callable[[Server, Path], Running]


def ingresses(plan: Plan, samples: Samples, peers: Peers) -> list[Ingress]:
    """Return those to measure; what cannot be installed is a problem of the samples."""
    everything = "verifies, identifies, deduplicates, appends"
    found = [Ingress(OURS, everything, _start_ours)]
    found += [Ingress(f"ours of {tree.name}", everything, _ours_of(tree)) for tree in plan.trees]
    found.append(Ingress(BARE, "reads the body and answers 202: the limit", _start_bare))
    wanted = {name: what for name, what in _FASTAPI.items() if plan.wants(name)}
    python = peers.python() if wanted else None
    if python is not None:
        for name, (variant, features) in wanted.items():
            found.append(Ingress(name, features, _fastapi(python, variant)))
    elif wanted:
        samples.problem(f"{', '.join(wanted)} not measured: {peers.missing['python']}")
    return [ingress for ingress in found if plan.wants(ingress.name)]


def _start_ours(server: Server, folder: Path, tree: Path | None = None) -> Running:
    router = Router(server, folder, tree)
    process = router.ingress()

    def check(answers: int) -> None:
        counted = items_by_outcome(router.metrics())
        stored = server.client.xlen(f"er:{{{STREAM}}}:events")
        if counted.get("duplicate") or counted.get("quarantined") or counted.get("accepted") != stored:
            raise WorkNotDone(f"ours counted {counted}, and the stream holds {stored}")
        _compare(answers, stored)

    return Running(process, router.port, check)


def _ours_of(tree: Path) -> Callable[[Server, Path], Running]:
    return lambda server, folder: _start_ours(server, folder, tree)


def _start_bare(_server: Server, folder: Path) -> Running:
    port = free_port()
    command = (sys.executable, str(_SUBJECTS / "aiohttp_bare.py"))
    return Running(_listening(command, port, folder, {}), port, lambda _answers: None)


def _fastapi(python: Path, variant: str) -> Callable[[Server, Path], Running]:
    def start(server: Server, folder: Path) -> Running:
        port = free_port()
        fast = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
        where = ("--app-dir", str(_SUBJECTS), "--port", str(port), "fastapi_app:app")
        variables = {"REDIS_URL": server.url, "SECRET": SECRET, "VARIANT": variant}
        process = _listening((str(python), "-m", "uvicorn", *fast, *where), port, folder, variables)
        return Running(process, port, lambda answers: _compare(answers, server.client.xlen("events")))

    return start


def _listening(command: tuple[str, ...], port: int, folder: Path, variables: Mapping[str, str]) -> Process:
    process = Process(command, folder, name="ingress", env={"PORT": str(port), **variables})
    process.until(lambda: listening(port), "it listens")
    return process


def _compare(answers: int, stored: int) -> None:
    """Raise WorkNotDone unless each answer has an entry; what was under way at the end of a run has one too."""
    if not answers <= stored <= answers + 2 * CONNECTIONS:
        raise WorkNotDone(f"{answers} were answered with 2xx, and the stream holds {stored}")
