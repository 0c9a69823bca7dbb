"""How many events a second the whole system carries on this machine, to check the capacity model by."""

import os
import tempfile
from pathlib import Path

from bench import filling
from bench.bodies import STREAM, event_id, write_requests
from bench.ledgers import read_ledger
from bench.ours import Router
from bench.plan import Plan, Samples, WorkNotDone
from bench.processes import until
from bench.servers import Server
from bench.wrk import closed_loop

__all__ = ["CASE", "NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "Whole system"
NOTES = (
    "One ingress, one Redis and one worker with a no-op handler, while 64 connections send as fast as they are "
    "answered: wrk and all processes share the machine. The time is that until the last event is handled."
)
REFERENCE = ""
CASE = "as fast as it goes"
_READY = 45_000


def run(plan: Plan, samples: Samples) -> None:
    """Send for some seconds, and wait until all is handled."""
    seconds = plan.pick(1, 2, 5)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        requests = write_requests(Path(name, "requests"), map(event_id, range(seconds * _READY)))
        for number in range(plan.rounds):
            place = Path(name, str(number))
            place.mkdir()
            try:
                samples.add(CASE, "ours", _round(place, requests, seconds))
            except (WorkNotDone, RuntimeError, TimeoutError) as error:
                samples.problem(f"round {number + 1}: {error}")


def _round(folder: Path, requests: Path, seconds: int) -> dict[str, float]:
    ledger = folder / "ledger.json"
    with Server(folder) as server:
        router = Router(server, folder)
        with router.ingress() as ingress:
            with router.ready_worker(ledger, EXPECTED="0", TIMES="1", EVENTS=STREAM) as worker:
                before, sender = [one.cpu for one in (ingress, server.process, worker)], _children()
                outcome = closed_loop(router.port, requests, seconds)
                sender = _children() - sender
                until(lambda: _handled(server) >= outcome.requests, "all is handled", 60)
                used = [one.cpu - old for one, old in zip((ingress, server.process, worker), before, strict=True)]
            stored = server.client.xlen(filling.KEYS.events(STREAM))
    times = read_ledger(ledger, None).times
    if len(times) != stored or stored < outcome.requests:
        raise WorkNotDone(f"{outcome.requests} answers of 2xx, {stored} entries, {len(times)} events handled")
    span = (max(times.values()) - min(times.values())) / 1e9
    names = ("ingress µs", "Redis µs", "worker µs", "wrk µs")
    return {
        "events/s": stored / span,
        **{name: part / stored * 1e6 for name, part in zip(names, (*used, sender), strict=True)},
    }


def _handled(server: Server) -> int:
    group = server.client.xinfo_groups(filling.KEYS.events(STREAM))[0]
    return int(group["entries-read"] or 0) - int(group["pending"])


def _children() -> float:
    """Return the processor time of the processes that have ended."""
    used = os.times()
    return used.children_user + used.children_system
