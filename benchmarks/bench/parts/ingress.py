"""How many webhooks a second one ingress process takes in: a closed loop of 64 connections, every id new."""

import tempfile
from pathlib import Path

from bench.bodies import event_id, write_requests
from bench.ingresses import BARE, Ingress, ingresses
from bench.peers import Peers
from bench.plan import Plan, Samples, WorkNotDone
from bench.servers import Server
from bench.wrk import closed_loop

__all__ = ["NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "Ingress"
NOTES = (
    "One process, 64 connections, each of which sends its next webhook when it has its answer; signed bodies of 0.5 KB "
    "made beforehand, every id new. Each round is a fresh process on a fresh server, warmed up, and every answer of "
    "2xx is checked to be an entry of the stream."
)
REFERENCE = BARE
_CASE = "closed loop, 64 connections"
_WARM_UP = 1  # seconds
_FASTEST = 45_000  # requests a second to have ready


def run(plan: Plan, samples: Samples) -> None:
    """Measure all ingresses in interleaved rounds."""
    seconds = plan.pick(1, 2, 5)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        subjects = ingresses(plan, samples, Peers(plan.folder))
        number = int((seconds + _WARM_UP) * _FASTEST)
        requests = write_requests(Path(folder, "requests"), map(event_id, range(number)))
        for number, subject in plan.interleaved(subjects):
            place = Path(folder, f"{number}-{subject.name}")
            place.mkdir()
            try:
                samples.add(_CASE, subject.name, _round(subject, place, requests, seconds))
            except (WorkNotDone, RuntimeError, TimeoutError) as error:
                samples.problem(f"{subject.name}, round {number + 1}: {error}")


def _round(subject: Ingress, folder: Path, requests: Path, seconds: int) -> dict[str, float]:
    with Server(folder) as server:
        running = subject.start(server, folder)
        with running.process as process:
            warm = closed_loop(running.port, requests, _WARM_UP)
            sent = warm.requests + 128  # and those that were under way when it ended
            before, store_before = process.cpu, server.process.cpu
            outcome = closed_loop(running.port, requests, seconds, skip=sent)
            cpu, store = process.cpu - before, server.process.cpu - store_before
            running.check(warm.requests + outcome.requests)
    return {
        "requests/s": outcome.rate,
        "p50 ms": outcome.p50,
        "p99 ms": outcome.p99,
        "CPU µs/request": cpu / outcome.requests * 1e6,
        "of Redis µs": store / outcome.requests * 1e6,
    }
