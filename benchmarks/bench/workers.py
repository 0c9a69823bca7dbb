"""The workers that are compared: what each does besides, how it is filled and run, what it leaves undone."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import filling
from bench.bodies import STREAM, event_id, notification
from bench.ours import Router
from bench.peers import Peers
from bench.plan import Plan, Samples
from bench.processes import Process
from bench.servers import Server

__all__ = ["BULLMQ", "FASTSTREAM", "LOOP", "OURS", "TASKIQ", "Worker", "workers", "workers_of_ours"]

OURS = "ours"
LOOP = "bare redis-py loop"
FASTSTREAM = "FastStream"
TASKIQ = "taskiq-redis"
BULLMQ = "BullMQ"
CONCURRENCY = 100
_SUBJECTS = Path(__file__).with_name("subjects")
_KEY = filling.KEYS.events(STREAM)


@dataclass(frozen=True)
class Worker:
    """One that is compared; `events` is how many it is given, fewer where it is slow.

    `fill` puts them into a server, `start` runs it with variables (LEDGER, EXPECTED, DELAY), `left` counts what is
    neither finished nor acknowledged.
    """

    name: str
    features: str
    events: int
    fill: Callable[[Server, Path], None]
    start: Callable[[Server, Path, dict[str, str]], Process]
    left: Callable[[Any], int]


def workers(plan: Plan, samples: Samples, peers: Peers) -> list[Worker]:
    """Return those to measure; what cannot be installed is a problem of the samples."""
    many, some, few = 50_000, plan.pick(3_000, 4_000, 50_000), plan.pick(1_000, 1_200, 50_000)
    everything = "retries, dead letters, heartbeats, lease, poison check, normalised event"
    found = _of_ours(plan, everything, many)
    loop = (sys.executable, str(_SUBJECTS / "redis_loop.py"))
    nothing = "reads 100, acknowledges 100; no retries: the limit"
    found.append(Worker(LOOP, nothing, many, _filled(many), _command(loop), _left_of_stream(_KEY)))
    found += _of_python(plan, samples, peers, some, few)
    found += _of_node(plan, samples, peers, plan.pick(20_000, 20_000, many))
    return [worker for worker in found if plan.wants(worker.name)]


def workers_of_ours(plan: Plan, subscriptions: int) -> list[Worker]:
    """Return ours alone, those of other trees too, for the case of several subscriptions: each of them gets 10,000."""
    return [worker for worker in _of_ours(plan, f"{subscriptions} subscriptions", 10_000) if plan.wants(worker.name)]


def _of_ours(plan: Plan, features: str, number: int) -> list[Worker]:
    left = _left_of_stream(_KEY)
    found = [Worker(OURS, features, number, _filled(number), _ours(None), left)]
    for tree in plan.trees:
        fill = _filled(number, bare=not (tree / "router" / "store" / "record.py").exists())
        found.append(Worker(f"ours of {tree.name}", features, number, fill, _ours(tree), left))
    return found


def _of_python(plan: Plan, samples: Samples, peers: Peers, some: int, few: int) -> list[Worker]:
    taskiq = ("-m", "taskiq", "worker", "taskiq_worker:broker", "--workers", "1", "--max-async-tasks", str(CONCURRENCY))
    taskiq_run = (*taskiq, "--app-dir", str(_SUBJECTS), "--max-prefetch", "100", "--log-level", "WARNING")
    rows: list[tuple[str, str, int, str, tuple[str, ...], Callable[[Any], int]]] = [
        (FASTSTREAM, "no retries, no dead letters", some, "faststream", (), _left_of_stream("events")),
        (TASKIQ, "no retries, no dead letters", some, "taskiq", taskiq_run, _left_of_stream("taskiq")),
        ("arq", "retries", few, "arq", (), lambda client: int(client.zcard("arq:queue"))),
        ("streaq", "retries", few, "streaq", (), _left_of_streaq),
    ]
    found = []
    for name, features, events, module, run, left in rows:
        if not plan.wants(name):
            continue
        environment = "arq" if name == "arq" else "python"
        python = peers.python(environment)
        if python is None:
            samples.problem(f"{name} not measured: {peers.missing[environment]}")
            continue
        program = str(_SUBJECTS / f"{module}_worker.py")
        start = _command((str(python), *(run or (program,))))
        found.append(Worker(name, features, events, _filled_by((str(python), program), events), start, left))
    return found


def _of_node(plan: Plan, samples: Samples, peers: Peers, events: int) -> list[Worker]:
    if not plan.wants(BULLMQ):
        return []
    home, node = peers.node(), shutil.which("node")
    if home is None or node is None:
        samples.problem(f"{BULLMQ} not measured: {peers.missing.get('node', 'node is not on the PATH')}")
        return []
    program = (node, str(_SUBJECTS / "bullmq_worker.js"))
    modules = {"NODE_PATH": str(home / "node_modules")}
    fill, start = _filled_by(program, events, modules), _command(program, modules)
    features = "retries, failed jobs kept, stalled jobs found; in Node"
    return [Worker(BULLMQ, features, events, fill, start, _left_of_bullmq)]


def _filled(number: int, *, bare: bool = False) -> Callable[[Server, Path], None]:
    return lambda server, _folder: filling.events(server.client, [*map(event_id, range(number))], bare=bare)


def _filled_by(
    program: tuple[str, ...], number: int, variables: dict[str, str] | None = None
) -> Callable[[Server, Path], None]:
    def fill(server: Server, folder: Path) -> None:
        bodies = folder / "bodies"
        bodies.write_bytes(b"".join(notification(event_id(index)) + b"\n" for index in range(number)))
        env = {"REDIS_URL": server.url, "CONCURRENCY": str(CONCURRENCY), **(variables or {})}
        with Process((*program, "fill", str(bodies)), folder, name="fill", env=env) as process:
            process.finish(300)

    return fill


def _ours(tree: Path | None) -> Callable[[Server, Path, dict[str, str]], Process]:
    def start(server: Server, folder: Path, variables: dict[str, str]) -> Process:
        more = {name: text for name, text in variables.items() if name != "LEDGER"}
        return Router(server, folder, tree).worker(Path(variables["LEDGER"]), EVENTS=STREAM, **more)

    return start


def _command(
    command: tuple[str, ...], more: dict[str, str] | None = None
) -> Callable[[Server, Path, dict[str, str]], Process]:
    def start(server: Server, folder: Path, variables: dict[str, str]) -> Process:
        common = {"REDIS_URL": server.url, "STREAM": _KEY, "CONCURRENCY": str(CONCURRENCY), **(more or {})}
        return Process(command, folder, name="worker", env={**common, **variables})

    return start


def _left_of_stream(key: str) -> Callable[[Any], int]:
    def left(client: Any) -> int:
        groups = client.xinfo_groups(key)
        return sum(int(group["pending"]) + int(group["lag"] or 0) for group in groups)

    return left


def _left_of_streaq(client: Any) -> int:
    key = next(iter(client.scan_iter("*streams:normal", count=1000)), None)
    return _left_of_stream(key)(client) if key else 0


def _left_of_bullmq(client: Any) -> int:
    return int(client.llen("bull:events:wait")) + int(client.llen("bull:events:active"))
