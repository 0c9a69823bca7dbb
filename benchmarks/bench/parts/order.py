"""What order costs: a key beside none, and what one key, item or company does to the others."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import filling
from bench.bodies import STREAM, event_id
from bench.ledgers import read_ledger
from bench.ours import Router
from bench.plan import Plan, Samples, WorkNotDone
from bench.processes import until
from bench.servers import Server
from bench.stats import percentile
from router.store.keys import LINES

__all__ = ["NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "Order"
NOTES = (
    'One worker process, concurrency 100; the keyed ones have `key="resource"`. Speed is that of waiting events and a '
    "no-op handler, from the first handled to the last. Waits are from the append of an event to its handler, while a "
    "sender appends so many a second; the handler awaits 5 ms. Every id is checked, and the order in each key."
)
REFERENCE = "no key"
_NO_OP = "no-op handler"
_IDLE = "idle, 58 streams"
_BURSTS = "bursts of 100 events on each item"
_FAIR = "one company beside a backlog of another"
_POISON = "10,000 keys, 100 events a second"
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
    for subject, variables in (("no poison", {"POISON": "never"}), ("1 % poison", {"POISON": "00"})):
        yield _POISON, subject, partial(_poisoned, seconds=seconds, variables={**_KEYED, **variables})
    for keys in (plan.pick(100, 200, 1_000),):
        yield _BURSTS, f"{keys:,} items, quiet=5", partial(_bursts, items=keys)
    number = plan.pick(5_000, 20_000, 1_000_000)
    for subject, keys in (("event of its own key", number), ("event behind others of its key", 1)):
        yield f"memory, {number:,} of each", subject, partial(_memory, number=number, keys=keys)


def _speed(folder: Path, *, number: int, keys: int, variables: Mapping[str, str]) -> dict[str, float]:
    ids = [event_id(index) for index in range(number)]
    ledger = folder / "ledger.json"
    with Server(folder) as server:
        filling.events(server.client, ids, resource=_of(keys))
        before = server.process.cpu
        with Router(server, folder).worker(
            ledger, EXPECTED=str(number), EVENTS=STREAM, TIMES="1", **variables
        ) as worker:
            worker.until(ledger.exists, f"{number} events are handled", 600)
            until(lambda: _left(server.client) == 0, "all is settled", 20)
            store = server.process.cpu - before
    handled = read_ledger(ledger, ids)
    if handled.calls != number:
        raise WorkNotDone(f"{number} events were handled {handled.calls} times")
    if variables:
        _check_order(ids, handled.times, _of(keys))
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
        filling.events(server.client, ids, resource=_of(10_000), company="5100002")
        return _waits(server, folder, rate=10, seconds=seconds, keys=50, variables=_KEYED, brought=backlog)


def _poisoned(folder: Path, *, seconds: float, variables: Mapping[str, str]) -> dict[str, float]:
    with Server(folder) as server:
        return _waits(server, folder, rate=100, seconds=seconds, keys=10_000, variables=variables)


def _waits(
    server: Server,
    folder: Path,
    *,
    rate: int,
    seconds: float,
    keys: int,
    variables: Mapping[str, str],
    brought: int = 0,
) -> dict[str, float]:
    """Append events at a rate; return how long they waited for their handlers. Those of poison are left out."""
    ledger, number = folder / "ledger.json", int(rate * seconds)
    ids = [event_id(index) for index in range(number)]
    healthy = [id_ for id_ in ids if not id_.endswith(variables.get("POISON", "never"))]
    common = {"EXPECTED": "0", "DELAY": "5", "TIMES": "1", "EVENTS": STREAM, **variables}
    with Router(server, folder).ready_worker(ledger, **common) as worker:
        until(lambda: not brought or _brought(server.client), "the backlog is in the lines", 300)
        sent = _paced(server.client, ids, rate, _of(keys))
        worker.until(lambda: _rests(server.client), "all is handled", 60 + brought / 100)
    times = read_ledger(ledger, None).times
    if missing := set(healthy) - times.keys():
        raise WorkNotDone(f"{len(missing)} events were not handled")
    _check_order(healthy, times, _of(keys))
    waits = sorted((times[id_] - sent[id_]) / 1e6 for id_ in healthy[rate:])
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
        began = time.monotonic_ns()
        filling.events(server.client, ids, resource=_of(items))
        worker.until(ledger.exists, "all is handled", 120)
    handled = read_ledger(ledger, ids)
    latest = max(handled.times.values()) - began
    return {"runs for each item": handled.calls / items, "s until the last": latest / 1e9, "events": len(ids)}


def _memory(folder: Path, *, number: int, keys: int) -> dict[str, float]:
    """Measure the lines of a worker that brings events and handles none of them; what the stream takes is left out."""
    with Server(folder) as server:
        filling.events(server.client, [event_id(index) for index in range(number)], resource=_of(keys))
        before = server.client.info("memory")["used_memory"]
        variables = {"EXPECTED": "1", "EVENTS": STREAM, "COALESCE": "3600,3600", **_KEYED}
        with Router(server, folder).ready_worker(folder / "ledger.json", **variables):
            until(lambda: _brought(server.client), "all is in the lines", 600)
            return {"bytes": (server.client.info("memory")["used_memory"] - before) / number}


def _of(keys: int) -> Callable[[str], str]:
    """Return what tells the resource of an id, of so many in turn."""
    return lambda id_: str(10_000 + int(id_[-12:], 16) % keys)


def _check_order(ids: Sequence[str], times: Mapping[str, int], resource: Callable[[str], str]) -> None:
    """Raise WorkNotDone unless the events of each key were handled in order."""
    latest: dict[str, int] = defaultdict(int)
    for id_ in ids:
        if times[id_] < latest[resource(id_)]:
            raise WorkNotDone(f"{id_} was handled before an earlier event of its key")
        latest[resource(id_)] = times[id_]


def _brought(client: Any) -> bool:
    """Return whether all entries have gone on from the stream into the lines."""
    if not client.exists(filling.KEYS.events(STREAM)):
        return False
    groups = client.xinfo_groups(filling.KEYS.events(STREAM))
    return bool(groups) and all(group["lag"] == 0 for group in groups)


def _left(client: Any) -> int:
    """Return what is not handled and settled, in the stream and in the lines."""
    groups = client.xinfo_groups(filling.KEYS.events(STREAM))
    pending = sum(int(group["pending"]) + int(group["lag"] or 0) for group in groups)
    return pending + int(client.zcard(_line_key("lines")))


def _rests(client: Any) -> bool:
    """Return whether all that was appended is in the lines, and nothing of the usual company is ready or running."""
    span = (f"[{_COMPANY}\0", f"({_COMPANY}\1")
    running = any(owner.split(b"\0")[1] == _COMPANY.encode() for owner in client.hvals(_line_key("owners")))
    return _brought(client) and not client.zlexcount(_line_key("ready"), *span) and not running


def _line_key(name: str) -> str:
    return filling.KEYS.lines(filling.GROUP)[LINES.index(name)]
