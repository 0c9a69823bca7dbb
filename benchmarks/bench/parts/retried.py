"""What becomes of the order of a key when one of its events is tried again: ours, and its peers."""

import json
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench import filling
from bench.bodies import STREAM
from bench.ours import Router
from bench.peers import Peers
from bench.plan import Plan, Samples
from bench.processes import Process, until
from bench.servers import Server

__all__ = ["NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "Order when an event is tried again"
NOTES = (
    "20 keys of 5 events each, sent key by key; the handler works for 20 ms, and the first event of each key fails at "
    "its first attempt and is tried again after 0.2 s. Ten handlers at once, unless the name says otherwise. A key is "
    "out of order where one of its events ended before an earlier one did; an overlap is an event that began while "
    "another of its key was being handled. Counts, not times. BullMQ's groups are in its commercial version only."
)
REFERENCE = ""
_KEYS, _EVENTS = 20, 5
_CASE = "20 keys, the first event of each fails once"
_SUBJECTS = Path(__file__).parents[1] / "subjects"
_PATIENCE = 60.0


@dataclass(frozen=True)
class _Subject:
    """One way of handling; `start` gets a server and a folder, and variables for the handler."""

    name: str
    start: Callable[[Server, Path, dict[str, str]], Process]


class _Noted(NamedTuple):
    key: str
    number: int
    what: str
    at: float


def run(plan: Plan, samples: Samples) -> None:
    """Let each handle the same events once a round."""
    for _, subject in plan.interleaved([*_subjects(plan, samples)], plan.pick(1, 1, plan.rounds)):
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            try:
                samples.add(_CASE, subject.name, _measure(subject, Path(place)))
            except (RuntimeError, TimeoutError) as error:
                samples.problem(f"{subject.name}: {error}")


def _measure(subject: _Subject, folder: Path) -> dict[str, float]:
    ledger = folder / "ledger.jsonl"
    variables = {"LEDGER": str(ledger), "KEYS": str(_KEYS), "EVENTS": str(_EVENTS)}
    with Server(folder) as server, subject.start(server, folder, variables):
        until(lambda: _ended(_read(ledger)) >= _KEYS * _EVENTS, "all events ended", _PATIENCE)
        time.sleep(0.5)  # what is handled once more would show itself
    noted = _read(ledger)
    return {
        "keys out of order": sum(map(_is_out_of_order, _by_key(noted))),
        "overlaps": sum(map(_overlaps, _by_key(noted))),
        "events ended": _ended(noted),
    }


def _read(ledger: Path) -> list[_Noted]:
    if not ledger.exists():
        return []
    return [_Noted(*json.loads(line)) for line in ledger.read_text().splitlines() if line.endswith("]")]


def _ended(noted: Iterable[_Noted]) -> int:
    return sum(one.what == "ended" for one in noted)


def _by_key(noted: Iterable[_Noted]) -> list[list[_Noted]]:
    keys: dict[str, list[_Noted]] = defaultdict(list)
    for one in noted:
        keys[one.key].append(one)
    return [*keys.values()]


def _is_out_of_order(noted: Iterable[_Noted]) -> bool:
    ended = [one.number for one in noted if one.what == "ended"]
    return ended != sorted(ended)


def _overlaps(noted: Iterable[_Noted]) -> int:
    running: Counter[int] = Counter()
    found = 0
    for one in noted:
        if one.what == "began":
            found += running.total() > 0
        running[one.number] += 1 if one.what == "began" else -1
    return found


def _subjects(plan: Plan, samples: Samples) -> Iterator[_Subject]:
    yield _Subject("ours, key=resource", _ours("1"))
    yield _Subject("ours, without a key", _ours("0"))
    yield from _python(Peers(plan.folder), samples)
    yield from _node(Peers(plan.folder), samples)


def _ours(keyed: str) -> Callable[[Server, Path, dict[str, str]], Process]:
    def start(server: Server, folder: Path, variables: dict[str, str]) -> Process:
        _fill(server.client)
        router = Router(server, folder)
        (command, environment) = router.command("worker", str(_SUBJECTS / "ordered_router.py"))
        return Process(command, folder, name="worker", env={**environment, **variables, "KEYED": keyed})

    return start


def _fill(client: Any) -> None:
    for key in range(_KEYS):
        for number in range(_EVENTS):
            uri = f"v1/customer/customer-{key}"
            raw = {"event": "customer_changed", "notificationId": f"{key}-{number}", "resourceUri": uri}
            at = int(time.time() * 1000)
            client.xadd(filling.KEYS.events(STREAM), {"id": f"{key}-{number}", "at": at, "raw": json.dumps(raw)})


def _python(peers: Peers, samples: Samples) -> Iterator[_Subject]:
    for environment, module, names in (
        ("docket", "ordered_docket", {"docket": "0", "docket, one at a time for each customer": "1"}),
        ("python", "ordered_taskiq", {"taskiq-redis": "0"}),
    ):
        python = peers.python(environment)
        if python is None:
            samples.problem(f"{', '.join(names)} not tried: {peers.missing[environment]}")
            continue
        for name, limited in names.items():
            yield _Subject(name, _program((str(python), str(_SUBJECTS / f"{module}.py")), LIMITED=limited))


def _node(peers: Peers, samples: Samples) -> Iterator[_Subject]:
    home, node = peers.node(), shutil.which("node")
    if home is None or node is None:
        samples.problem(f"BullMQ not tried: {peers.missing.get('node', 'node is not on the PATH')}")
        return
    program, modules = (node, str(_SUBJECTS / "ordered_bullmq.js")), str(home / "node_modules")
    for name, concurrency, limited in (
        ("BullMQ", "10", "0"),
        ("BullMQ, one handler at all", "1", "0"),
        ("BullMQ, its rate limit: one in 25 ms", "10", "1"),
    ):
        yield _Subject(name, _program(program, CONCURRENCY=concurrency, LIMITED=limited, NODE_PATH=modules))


def _program(command: tuple[str, ...], **more: str) -> Callable[[Server, Path, dict[str, str]], Process]:
    def start(server: Server, folder: Path, variables: dict[str, str]) -> Process:
        return Process(command, folder, name="worker", env={"REDIS_URL": server.url, **variables, **more})

    return start
