"""How many waiting events a second one worker process handles: with nothing to do, and with 5 ms to wait for each."""

import tempfile
from pathlib import Path

from bench.bodies import event_id
from bench.ledgers import read_ledger
from bench.peers import Peers
from bench.plan import Plan, Samples, WorkNotDone
from bench.processes import until
from bench.servers import Server
from bench.workers import LOOP, Worker, workers

__all__ = ["NOTES", "NO_OP", "REFERENCE", "TITLE", "WAITING", "run"]

TITLE = "Worker"
NOTES = (
    "One process, concurrency 100, all events waiting before it starts (50,000; for the slow ones fewer, see the "
    "column, in their favour); the time from the first handled to the last. Every id is checked to have been handled, "
    "and that nothing is left unacknowledged."
)
REFERENCE = LOOP
NO_OP = "no-op handler"
WAITING = "handler that awaits 5 ms"
_CASES = {NO_OP: "0", WAITING: "5"}


def run(plan: Plan, samples: Samples) -> None:
    """Fill a server for each worker once, and let it work on copies of that in interleaved rounds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        filled = {
            worker: data
            for worker in workers(plan, samples, Peers(plan.folder))
            if (data := _fill(worker, folder, samples))
        }
        for case, delay in _CASES.items():
            for number, worker in plan.interleaved([*filled]):
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    try:
                        samples.add(case, worker.name, _round(worker, Path(place), filled[worker], delay))
                    except (WorkNotDone, RuntimeError, TimeoutError) as error:
                        samples.problem(f"{worker.name}, {case}, round {number + 1}: {error}")


def _fill(worker: Worker, folder: Path, samples: Samples) -> Path | None:
    place = folder / worker.name.replace("/", "_")
    place.mkdir()
    try:
        with Server(place) as server:
            worker.fill(server, place)
    except (RuntimeError, TimeoutError) as error:
        samples.problem(f"{worker.name} not measured, it could not be filled: {error}")
        return None
    return place / "redis"


def _round(worker: Worker, folder: Path, data: Path, delay: str) -> dict[str, float]:
    ledger = folder / "ledger.json"
    variables = {"LEDGER": str(ledger), "EXPECTED": str(worker.events), "DELAY": delay}
    with Server(folder, data) as server, worker.start(server, folder, variables) as process:
        before = server.process.cpu
        process.until(ledger.exists, f"{worker.events} events are handled", 180)
        until(lambda: worker.left(server.client) == 0, f"{worker.name} has acknowledged all", 20)
        store = server.process.cpu - before
        handled = read_ledger(ledger, map(event_id, range(worker.events)))
    if handled.calls != worker.events:
        raise WorkNotDone(f"{worker.events} events were handled {handled.calls} times")
    return {
        "events/s": handled.rate,
        "CPU µs/event": handled.cpu / worker.events * 1e6,
        "of Redis µs": store / worker.events * 1e6,
        "events": worker.events,
    }
