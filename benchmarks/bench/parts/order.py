"""What order costs: a key beside none, and what one key, item or company does to the others."""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import filling
from bench.bodies import STREAM, event_id
from bench.ledgers import read_ledger
from bench.lines import all_settled, brought, check_order, keys_in_turn, number_of, rests
from bench.ours import Router
from bench.plan import Plan, Samples, WorkNotDone
from bench.processes import until
from bench.servers import Server
from bench.stats import percentile

__all__ = ["NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "Order"
NOTES = (
    'One worker process, concurrency 100; the keyed ones have `key="resource"`. Speed is that of waiting events and a '
    "no-op handler, from the first handled to the last. Waits are from the append of an event to its handler, while a "
    "sender appends so many a second; the handler awaits 5 ms. Every id is checked, and the order in each key. Poison: "
    "each event of every hundredth key fails at all its four attempts; the waits are those of the other keys."
)
REFERENCE = "no key"
_NO_OP = "no-op handler"
_IDLE = "idle, 58 streams"
_BURSTS = "bursts of 100 events on each item"
_FAIR = "one company beside a backlog of another"
_POISON = "10,000 keys, 100 events a second"
_DEEP = "{:,} events wait, of 10,000 keys"
_HUNDREDTH = "7"
_COMPANY = "5100001"
_SETTLING = 3.0  # seconds after the start
_KEYED = {"KEY": "resource"}

Case = Callable[[Path], dict[str, float]]


def run(plan: Plan, samples: Samples) -> None:
    """Measure every row in interleaved rounds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rows = [row for row in _rows(plan) if plan.wants(f"{row[0]}: {row[1]}")]
        for number, (case, subject, measure) in plan.interleaved(rows, plan.pick(1, min(plan.rounds, 3), plan.rounds)):
            place = Path(tempfile.mkdtemp(dir=name))
            try:
                samples.add(case, subject, measure(place))
            except (WorkNotDone, RuntimeError, TimeoutError) as error:
                samples.problem(f"{case}, {subject}, round {number + 1}: {error}")


def _rows(plan: Plan) -> Iterable[tuple[str, str, Case]]:
    many, few = plan.pick(10_000, 30_000, 100_000), plan.pick(1_000, 3_000, 10_000)
    yield _NO_OP, REFERENCE, partial(_speed, number=many, keys=10_000, variables={})
    for keys in (1, 100, 10_000):
        yield _NO_OP, f"{keys:,} keys", partial(_speed, number=few if keys == 1 else many, keys=keys, variables=_KEYED)
    if plan.size == "full":
        yield _NO_OP, "1,000,000 keys", partial(_speed, number=1_000_000, keys=1_000_000, variables=_KEYED)
    for subject, variables in ((REFERENCE, {}), ("keyed", _KEYED)):
        yield _IDLE, subject, partial(_idle, seconds=plan.pick(8.0, 20.0, 60.0), variables=variables)
    depth, seconds = plan.pick(5_000, 20_000, 100_000), plan.pick(5.0, 8.0, 30.0)
    for subject, backlog in (("no backlog", 0), (f"{depth:,} waiting", depth)):
        yield _FAIR, subject, partial(_beside, backlog=backlog, seconds=seconds)
    deep = plan.pick(20_000, 50_000, 1_000_000)
    for subject, poison in (("no poison", "-1"), ("1 % poison", _HUNDREDTH)):
        variables = {**_KEYED, "POISON": poison}
        yield _POISON, subject, partial(_poisoned, seconds=seconds, variables=variables)
        yield _DEEP.format(deep), subject, partial(_deep, number=deep, variables=variables)
    for keys in (plan.pick(100, 200, 1_000),):
        yield _BURSTS, f"{keys:,} items, quiet=5", partial(_bursts, items=keys)
    number = plan.pick(5_000, 20_000, 1_000_000)
    for subject, keys in (("event of its own key", number), ("event behind others of its key", 1)):
        yield f"memory, {number:,} of each", subject, partial(_memory, number=number, keys=keys)


def _speed(folder: Path, *, number: int, keys: int, variables: Mapping[str, str]) -> dict[str, float]:
    ids = [event_id(index) for index in range(number)]
    ledger = folder / "ledger.json"
    with Server(folder) as server:
        filling.events(server.client, ids, resource=keys_in_turn(keys))
        before = server.process.cpu
        with Router(server, folder).worker(
            ledger, EXPECTED=str(number), EVENTS=STREAM, TIMES="1", **variables
        ) as worker:
            worker.until(ledger.exists, f"{number} events are handled", 600)
            until(lambda: all_settled(server.client), "all is settled", 20)
            store = server.process.cpu - before
    handled = read_ledger(ledger, ids)
    if handled.calls != number:
        raise WorkNotDone(f"{number} events were handled {handled.calls} times")
    if variables:
        check_order(ids, handled.times, keys_in_turn(keys))
    return {
        "events/s": handled.rate,
        "CPU µs/event": handled.cpu / number * 1e6,
        "of Redis µs": store / number * 1e6,
        "events": number,
    }


def _idle(folder: Path, *, seconds: float, variables: Mapping[str, str]) -> dict[str, float]:
    with (
        Server(folder) as server,
        Router(server, folder).ready_worker(folder / "l", EXPECTED="1", **variables) as worker,
    ):
        time.sleep(_SETTLING)
        commands, used = server.client.info("stats")["total_commands_processed"], worker.cpu
        time.sleep(seconds)
        commands = server.client.info("stats")["total_commands_processed"] - commands - 1  # without the look itself
        return {"commands/s": commands / seconds, "CPU %": (worker.cpu - used) / seconds * 100}


def _beside(folder: Path, *, backlog: int, seconds: float) -> dict[str, float]:
    """Measure how long one company's events wait, of which there are ten a second, beside a backlog of another's."""
    with Server(folder) as server:
        ids = [event_id(index, 1) for index in range(backlog)]
        filling.events(server.client, ids, resource=keys_in_turn(10_000), company="5100002")
        return _waits(server, folder, rate=10, seconds=seconds, keys=50, variables=_KEYED, backlog=backlog)


def _poisoned(folder: Path, *, seconds: float, variables: Mapping[str, str]) -> dict[str, float]:
    with Server(folder) as server:
        return _waits(server, folder, rate=100, seconds=seconds, keys=10_000, variables=variables)


def _deep(folder: Path, *, number: int, variables: Mapping[str, str]) -> dict[str, float]:
    """Measure how long the events of healthy keys take from the start of a worker for which so many wait."""
    ids, ledger = [event_id(index) for index in range(number)], folder / "ledger.json"
    with Server(folder) as server:
        filling.events(server.client, ids, resource=keys_in_turn(10_000))
        began = time.monotonic_ns()
        common = {"EXPECTED": "0", "TIMES": "1", "EVENTS": STREAM, **variables}
        with Router(server, folder).ready_worker(ledger, **common) as worker:
            worker.until(lambda: all_settled(server.client), "all is settled", 60 + number / 200)
    times = read_ledger(ledger, ids).times
    check_order(ids, times, keys_in_turn(10_000))
    waits = sorted((times[id_] - began) / 1e9 for id_ in _healthy(ids, variables))
    return {"p50 s": percentile(waits, 0.5), "p99 s": percentile(waits, 0.99)}


def _healthy(ids: Iterable[str], variables: Mapping[str, str]) -> list[str]:
    poison = int(variables.get("POISON", "-1"))
    return [id_ for id_ in ids if number_of(id_) % 100 != poison]


def _waits(
    server: Server,
    folder: Path,
    *,
    rate: int,
    seconds: float,
    keys: int,
    variables: Mapping[str, str],
    backlog: int = 0,
) -> dict[str, float]:
    """Append events at a rate; return how long those of healthy keys waited for their handlers."""
    ledger, number = folder / "ledger.json", int(rate * seconds)
    ids = [event_id(index) for index in range(number)]
    common = {"EXPECTED": "0", "DELAY": "5", "TIMES": "1", "EVENTS": STREAM, **variables}
    with Router(server, folder).ready_worker(ledger, **common) as worker:
        until(lambda: not backlog or brought(server.client), "the backlog is in the lines", 300)
        sent = _paced(server.client, ids, rate, keys_in_turn(keys))
        over = partial(rests, company=_COMPANY) if backlog else all_settled
        worker.until(lambda: over(server.client), "all is handled", 60 + backlog / 100)
    times = read_ledger(ledger, None).times
    if missing := set(ids) - times.keys():
        raise WorkNotDone(f"{len(missing)} events were not handled")
    check_order(ids, times, keys_in_turn(keys))
    waits = sorted((times[id_] - sent[id_]) / 1e6 for id_ in _healthy(ids[rate:], variables))
    return {f"p{text} ms": percentile(waits, at) for text, at in (("50", 0.5), ("99", 0.99))}


def _paced(client: Any, ids: Sequence[str], rate: int, resource: Callable[[str], str]) -> dict[str, int]:
    sent, began = {}, time.monotonic()
    for number, id_ in enumerate(ids):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        sent[id_] = time.monotonic_ns()
        filling.events(client, [id_], resource=resource)
    return sent


def _bursts(folder: Path, *, items: int) -> dict[str, float]:
    ids = [event_id(index) for index in range(items * 100)]
    ledger = folder / "ledger.json"
    common = {"EXPECTED": str(len(ids)), "TIMES": "1", "EVENTS": STREAM, "COALESCE": "5,60", **_KEYED}
    with Server(folder) as server, Router(server, folder).ready_worker(ledger, **common) as worker:
        sent = _at_once(server.client, ids, keys_in_turn(items))
        worker.until(ledger.exists, "all is handled", 120)
    handled = read_ledger(ledger, ids)
    longest = max(handled.times[id_] - at for id_, at in sent.items())
    return {"runs for each item": handled.calls / items, "longest wait s": longest / 1e9, "events": len(ids)}


def _at_once(client: Any, ids: Sequence[str], resource: Callable[[str], str]) -> dict[str, int]:
    """Append events as fast as it goes; return when each was sent."""
    sent: dict[str, int] = {}
    for start in range(0, len(ids), 1000):
        sent |= dict.fromkeys(ids[start : start + 1000], time.monotonic_ns())
        filling.events(client, ids[start : start + 1000], resource=resource)
    return sent


def _memory(folder: Path, *, number: int, keys: int) -> dict[str, float]:
    """Measure the lines of a worker that brings events and handles none of them; what the stream takes is left out."""
    with Server(folder) as server:
        filling.events(server.client, [event_id(index) for index in range(number)], resource=keys_in_turn(keys))
        before = server.client.info("memory")["used_memory"]
        variables = {"EXPECTED": "1", "EVENTS": STREAM, "COALESCE": "3600,3600", **_KEYED}
        with Router(server, folder).ready_worker(folder / "ledger.json", **variables):
            until(lambda: brought(server.client), "all is in the lines", 600)
            return {"bytes": (server.client.info("memory")["used_memory"] - before) / number}
