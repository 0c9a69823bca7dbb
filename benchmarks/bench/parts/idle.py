"""What ours costs while nothing happens: commands, processor time, memory."""

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import filling
from bench.bodies import event_id
from bench.ours import Router
from bench.plan import Plan, Samples
from bench.processes import Process
from bench.servers import Server

__all__ = ["NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "Idle, and memory"
NOTES = (
    "An ingress and workers on all streams of the catalogue (one subscription, one of them with a key), with "
    "nothing to do; commands as Redis counts them, those inside scripts included. With --full for eleven "
    "minutes, so that what comes every five is in it. Memory as Redis reports it, of so many of each."
)
REFERENCE = ""
_IDLE = "58 streams"
_WATCHED: Mapping[str, Mapping[str, str]] = {"worker": {}, "worker with a key": {"KEY": "resource"}, "ingress": {}}
"""What is watched, and what its process is given."""
_SETTLING = 10.0  # seconds after the start


def run(plan: Plan, samples: Samples) -> None:
    """Watch both side by side, each with a server of its own, and then fill servers."""
    seconds, rounds = plan.pick(4.0, 6.0, 660.0), plan.pick(1, min(plan.rounds, 3), 1)
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            _idle(Path(name), seconds, samples)
    number = plan.pick(10_000, 20_000, 1_000_000)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        _memory(Path(name), number, samples)


def _idle(folder: Path, seconds: float, samples: Samples) -> None:
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_server(folder / name)) for name in _WATCHED}
        watched = {
            name: (stack.enter_context(_started(name, server, folder / name)), server.client)
            for name, server in servers.items()
        }
        time.sleep(_SETTLING)
        before = [_look(process, client) for process, client in watched.values()]
        time.sleep(seconds)
        after = [_look(process, client) for process, client in watched.values()]
        for (name, (process, _)), old, new in zip(watched.items(), before, after, strict=True):
            samples.add(_IDLE, name, _used(old, new, seconds) | {"MiB": process.resident})


def _server(folder: Path) -> Server:
    folder.mkdir()
    return Server(folder)


def _started(name: str, server: Server, folder: Path) -> Process:
    router = Router(server, folder)
    if name == "ingress":
        return router.ingress()
    return router.ready_worker(folder / "ledger.json", EXPECTED="1", **_WATCHED[name])


def _look(process: Process, client: Any) -> tuple[int, float]:
    """Return the commands so far, and the seconds of processor time."""
    return client.info("stats")["total_commands_processed"], process.cpu


def _used(old: tuple[int, float], new: tuple[int, float], seconds: float) -> dict[str, float]:
    ours = 1  # the look itself
    return {"commands/s": (new[0] - old[0] - ours) / seconds, "CPU %": (new[1] - old[1]) / seconds * 100}


def _memory(folder: Path, number: int, samples: Samples) -> None:
    fills: dict[str, Callable[[Any], None]] = {
        "event in a stream": lambda client: filling.stream(client, number, 1),
        "event and its remembered id": lambda client: filling.events(client, [event_id(n) for n in range(number)]),
        "scheduled retry": lambda client: filling.retries(client, number),
        "dead letter of three attempts": lambda client: filling.dead_letters(client, number),
    }
    with Server(folder) as server:
        client = server.client
        for what, fill in fills.items():
            client.flushall()
            before = client.info("memory")["used_memory"]
            fill(client)
            used = (client.info("memory")["used_memory"] - before) / number
            samples.add(f"memory, {number:,} of each", what, {"bytes": used})
