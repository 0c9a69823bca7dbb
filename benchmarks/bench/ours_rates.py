"""How fast an ingress and a worker of ours are under some condition: on streams, beside a backlog, as processes."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import filling
from bench.bodies import STREAM
from bench.ledgers import Handled, read_ledger
from bench.open_loop import open_loop
from bench.ours import Router, items_by_outcome
from bench.plan import WorkNotDone
from bench.processes import Process, until
from bench.servers import Server
from bench.wrk import closed_loop

__all__ = ["Load", "intake_rate", "large_intake_rate", "work_rate"]


def _nothing(_client: Any) -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Load:
    """What a worker is given: `prepare` fills the server, and these ids are to be handled, or any `most` of what is."""

    prepare: Callable[[Any], None]
    ids: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=lambda: {"EVENTS": STREAM})
    processes: int = 1
    most: int = 0


def work_rate(load: Load, folder: Path) -> dict[str, float]:
    """Return how fast it is handled; raises WorkNotDone when an id is missing."""
    with tempfile.TemporaryDirectory(dir=folder) as name, Server(Path(name)) as server:
        load.prepare(server.client)
        handled = _by_one(load, server, Path(name)) if load.processes == 1 else _by_many(load, server, Path(name))
    rate = (load.most or len(load.ids)) / handled.seconds
    return {"events/s": rate, "CPU µs/event": handled.cpu / handled.calls * 1e6}


def _by_one(load: Load, server: Server, folder: Path) -> Handled:
    ledger = folder / "ledger.json"
    expected = {"EXPECTED": str(load.most or len(load.ids)), **load.variables}
    with Router(server, folder).worker(ledger, **expected) as process:
        process.until(ledger.exists, "all is handled", 120)
        return read_ledger(ledger, None if load.most else load.ids)


def _by_many(load: Load, server: Server, folder: Path) -> Handled:
    ledgers = [folder / f"ledger-{number}.json" for number in range(load.processes)]
    router = Router(server, folder)
    with ExitStack() as stack:
        for ledger in ledgers:
            stack.enter_context(router.worker(ledger, EXPECTED="0", TIMES="1", **load.variables))
        until(lambda: _is_done(server.client, len(load.ids)), "all is handled", 120)
    parts = [read_ledger(ledger, None) for ledger in ledgers]
    times = {id_: at for part in parts for id_, at in part.times.items()}
    if times.keys() != set(load.ids):
        raise WorkNotDone(f"{len(times)} of {len(load.ids)} events were handled")
    seconds = (max(times.values()) - min(times.values())) / 1e9
    return Handled(sum(part.calls for part in parts), seconds, sum(part.cpu for part in parts), times)


def _is_done(client: Any, number: int) -> bool:
    key = filling.KEYS.events(STREAM)
    groups = client.xinfo_groups(key) if client.exists(key) else []
    return bool(groups) and groups[0]["entries-read"] == number and groups[0]["pending"] == 0


def intake_rate(
    requests: Path, folder: Path, *, prepare: Callable[[Any], None] = _nothing, processes: int = 1
) -> dict[str, float]:
    """Return how many requests of a file are taken in during a second, by wrk; raises WorkNotDone."""

    def measure(router: Router) -> tuple[int, float, float]:
        outcome = closed_loop(router.port, requests, 1)
        return outcome.requests, outcome.rate, outcome.p99

    return _intake(folder, prepare, processes, measure)


def large_intake_rate(requests: Path, folder: Path, number: int) -> dict[str, float]:
    """Return how fast so many requests of a file are taken in, by our own sender, which needs no more than those."""

    def measure(router: Router) -> tuple[int, float, float]:
        paced = open_loop(router.port, requests, skip=0, count=number, rate=0)
        return number, number / paced.seconds, paced.latency(0.99)

    return _intake(folder, _nothing, 1, measure)


def _intake(
    folder: Path,
    prepare: Callable[[Any], None],
    processes: int,
    measure: Callable[[Router], tuple[int, float, float]],
) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as name, Server(Path(name)) as server:
        prepare(server.client)
        router = Router(server, Path(name))
        with router.ingress(processes) as process:
            before = process.cpu
            answers, rate, p99 = measure(router)
            cpu = process.cpu - before
            _check(router, process, answers, processes)
    return {"requests/s": rate, "p99 ms": p99, "CPU µs/request": cpu / answers * 1e6}


def _check(router: Router, process: Process, answers: int, processes: int) -> None:
    """Raise WorkNotDone when fewer were accepted than answered; of several processes each counts its own."""
    counted = items_by_outcome(router.metrics()) if processes == 1 else {"accepted": answers}
    if counted.get("accepted", 0) < answers or counted.get("duplicate") or counted.get("quarantined"):
        raise WorkNotDone(f"{process.name}: {answers} answers of 2xx, and it counted {counted}")
