"""How long an event takes from the time its webhook is sent until its handler is started, at 1,000 events a second."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.bodies import event_id, write_requests
from bench.ingresses import FASTSTREAM, OURS, Running, ingresses
from bench.ledgers import read_ledger
from bench.open_loop import open_loop
from bench.ours import Router
from bench.peers import Peers
from bench.plan import Plan, Samples, WorkNotDone
from bench.processes import Process
from bench.servers import Server
from bench.stats import percentile
from bench.workers import workers

__all__ = ["NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "End to end"
NOTES = (
    "1,000 webhooks a second, one ingress process, one Redis, one worker process; from the time at which a webhook was "
    "due until its handler was started. The first half second is left out, and every id is checked."
)
REFERENCE = OURS
_CASE = "1,000 events a second"
_RATE = 1_000

Subject = Callable[[ExitStack, Server, Path, dict[str, str]], int]
"""Starts an ingress and a worker with variables, as long as the stack is open; returns the ingress's port."""


def run(plan: Plan, samples: Samples) -> None:
    """Send through each system in interleaved rounds."""
    number = int(plan.pick(2.0, 3.0, 20.0) * _RATE)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        requests = write_requests(folder / "requests", map(event_id, range(number)))
        for round_, (subject, start) in plan.interleaved(_subjects(plan, samples)):
            place = folder / f"{round_}-{subject}"
            place.mkdir()
            try:
                samples.add(_CASE, subject, _round(start, place, requests, number))
            except (WorkNotDone, RuntimeError, TimeoutError) as error:
                samples.problem(f"{subject}, round {round_ + 1}: {error}")


def _subjects(plan: Plan, samples: Samples) -> list[tuple[str, Subject]]:
    found = [(OURS, _ours(None)), *((f"ours of {tree.name}", _ours(tree)) for tree in plan.trees)]
    if plan.wants(FASTSTREAM):
        peers = Peers(plan.folder)
        doors = [one for one in ingresses(plan, samples, peers) if one.name == FASTSTREAM]
        hands = [one for one in workers(plan, samples, peers) if one.name == "FastStream"]
        if doors and hands:
            found.append((FASTSTREAM, _joined(doors[0].start, hands[0].start)))
    return [(name, start) for name, start in found if plan.wants(name)]


def _ours(tree: Path | None) -> Subject:
    def start(stack: ExitStack, server: Server, folder: Path, variables: dict[str, str]) -> int:
        router = Router(server, folder, tree)
        stack.enter_context(router.ingress())
        more = {name: text for name, text in variables.items() if name != "LEDGER"}
        stack.enter_context(router.ready_worker(Path(variables["LEDGER"]), **more))
        return router.port

    return start


def _joined(ingress: Callable[..., Running], worker: Callable[..., Process]) -> Subject:
    def start(stack: ExitStack, server: Server, folder: Path, variables: dict[str, str]) -> int:
        running = ingress(server, folder)
        stack.enter_context(running.process)
        process = stack.enter_context(worker(server, folder, variables))
        process.until(lambda: server.client.exists("events"), "the consumer group is made")
        return int(running.port)

    return start


def _round(start: Subject, folder: Path, requests: Path, number: int) -> dict[str, float]:
    ledger = folder / "ledger.json"
    variables = {"LEDGER": str(ledger), "EXPECTED": str(number), "TIMES": "1"}
    with Server(folder) as server, ExitStack() as stack:
        port = start(stack, server, folder, variables)
        paced = open_loop(port, requests, skip=0, count=number, rate=_RATE)
        server.process.until(ledger.exists, f"{number} events are handled", 30)
    handled = read_ledger(ledger, map(event_id, range(number)))
    if handled.calls != number:
        raise WorkNotDone(f"{number} events were handled {handled.calls} times")
    waits = sorted(
        (handled.times[event_id(index)] - intended) / 1e6
        for index, intended in enumerate(paced.intended)
        if index >= _RATE // 2
    )
    return {f"p{text} ms": percentile(waits, at) for text, at in (("50", 0.5), ("99", 0.99), ("99.9", 0.999))}
