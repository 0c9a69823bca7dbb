"""How many waiting events a second one worker process handles: with nothing to do, and with 5 ms to wait for each."""

import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from bench.bodies import event_id
from bench.ledgers import read_ledger
from bench.peers import Peers
from bench.plan import Plan, Samples, WorkNotDone
from bench.processes import until
from bench.servers import Server
from bench.workers import LOOP, Worker, workers, workers_of_ours

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
SEVERAL = "no-op handler, five subscriptions in one worker, deliveries"
_CASES = {NO_OP: "0", WAITING: "5"}
_SUBSCRIPTIONS = 5


def run(plan: Plan, samples: Samples) -> None:
    """Fill a server for each worker once, and let it work on copies of that in interleaved rounds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        filled = _filled(workers(plan, samples, Peers(plan.folder)), folder / "one", samples)
        for case, delay in _CASES.items():
            _rounds(case, filled, partial(_round, delay=delay), plan, samples)
        filled = _filled(workers_of_ours(plan, _SUBSCRIPTIONS), folder / "several", samples)
        _rounds(SEVERAL, filled, partial(_round, subscriptions=_SUBSCRIPTIONS), plan, samples)


def _rounds(
    case: str,
    filled: dict[Worker, Path],
    measure: Callable[[Worker, Path, Path], dict[str, float]],
    plan: Plan,
    samples: Samples,
) -> None:
    for number, worker in plan.interleaved([*filled]):
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            try:
                samples.add(case, worker.name, measure(worker, Path(place), filled[worker]))
            except (WorkNotDone, RuntimeError, TimeoutError) as error:
                samples.problem(f"{worker.name}, {case}, round {number + 1}: {error}")


def _filled(found: Iterable[Worker], folder: Path, samples: Samples) -> dict[Worker, Path]:
    folder.mkdir()
    return {worker: data for worker in found if (data := _fill(worker, folder, samples))}


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


def _round(worker: Worker, folder: Path, data: Path, *, delay: str = "0", subscriptions: int = 1) -> dict[str, float]:
    ledger, number = folder / "ledger.json", worker.events * subscriptions
    names = [f" bench-{index}" for index in range(subscriptions)] if subscriptions > 1 else [""]
    variables = {"LEDGER": str(ledger), "EXPECTED": str(number), "DELAY": delay, "SUBSCRIPTIONS": str(subscriptions)}
    with Server(folder, data) as server, worker.start(server, folder, variables) as process:
        before = server.process.cpu
        process.until(ledger.exists, f"{number} events are handled", 180)
        until(lambda: worker.left(server.client) == 0, f"{worker.name} has acknowledged all", 20)
        store = server.process.cpu - before
        handled = read_ledger(ledger, (event_id(index) + name for index in range(worker.events) for name in names))
    if handled.calls != number:
        raise WorkNotDone(f"{number} events were handled {handled.calls} times")
    return {
        "events/s": handled.rate,
        "CPU µs/event": handled.cpu / number * 1e6,
        "of Redis µs": store / number * 1e6,
        "events": number,
    }
