"""How long a webhook takes from request to 202 while they come at a fixed rate."""

import tempfile
from pathlib import Path
from statistics import median

from bench.bodies import event_id, write_requests
from bench.ingresses import BARE, OURS, Ingress, ingresses
from bench.open_loop import open_loop
from bench.peers import Peers
from bench.plan import Plan, Samples, WorkNotDone
from bench.servers import Server
from bench.wrk import closed_loop

__all__ = ["NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "Ingress latency"
NOTES = (
    "Webhooks are sent on time at 25, 50 and 75 % of what ours takes in at most (measured just before), over 64 "
    "connections; a latency counts from the time at which a webhook was due. The last column says how late the "
    "sender itself was for one in a hundred."
)
REFERENCE = BARE
_PARTS = (25, 50, 75)
_MOST_READY = 150_000
_WARM_UP = 1_000  # requests, in a second


def run(plan: Plan, samples: Samples) -> None:
    """Find the peak, then send at parts of it to each ingress in interleaved rounds."""
    seconds = plan.pick(1.0, 1.5, 8.0)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        subjects = [one for one in ingresses(plan, samples, Peers(plan.folder)) if one.name.startswith((OURS, BARE))]
        requests = write_requests(folder / "requests", map(event_id, range(_MOST_READY)))
        peak = median(_peak(subjects[0], folder / f"peak-{number}", requests) for number in range(3))
        for number, subject in plan.interleaved(subjects):
            place = folder / f"{number}-{subject.name}"
            try:
                _round(subject, place, requests, peak, seconds, samples)
            except (WorkNotDone, RuntimeError, TimeoutError) as error:
                samples.problem(f"{subject.name}, round {number + 1}: {error}")


def _peak(subject: Ingress, folder: Path, requests: Path) -> float:
    folder.mkdir()
    with Server(folder) as server:
        running = subject.start(server, folder)
        with running.process:
            warm = closed_loop(running.port, requests, 1)
            return closed_loop(running.port, requests, 1, skip=warm.requests + 128).rate


def _round(subject: Ingress, folder: Path, requests: Path, peak: float, seconds: float, samples: Samples) -> None:
    folder.mkdir()
    with Server(folder) as server:
        running = subject.start(server, folder)
        with running.process:
            open_loop(running.port, requests, skip=0, count=_WARM_UP, rate=_WARM_UP)
            skip = _WARM_UP
            for part in _PARTS:
                rate = peak * part / 100
                count = min(int(rate * seconds), (_MOST_READY - skip) // 2)
                paced = open_loop(running.port, requests, skip=skip, count=count, rate=rate)
                skip += count
                found = {f"p{text} ms": paced.latency(at) for text, at in (("50", 0.5), ("99", 0.99), ("99.9", 0.999))}
                measures = {"p99 ms": found.pop("p99 ms"), **found, "rate/s": rate, "sender late ms": paced.sender_late}
                samples.add(f"{part} % of the peak", subject.name, measures)
            running.check(skip)
