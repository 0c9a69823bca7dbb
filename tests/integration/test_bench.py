"""The benchmarks run this router as it is now."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODULES = ("bodies", "ingresses", "open_loop", "plan", "servers")
PARTS = tuple(file.stem for file in (BENCHMARKS / "bench" / "parts").glob("[a-z]*.py"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """Yield modules of the benchmarks, found by the folder they are in, also by the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setenv("PYTHONPATH", str(BENCHMARKS))
        patch.chdir(tmp_path_factory.mktemp("bench"))
        yield {name: importlib.import_module(f"bench.{name}") for name in MODULES}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.usefixtures("bench")
def test_each_part_is_ready_to_run(part: str) -> None:
    """What a part of the benchmarks takes from the router is there."""
    assert callable(importlib.import_module(f"bench.parts.{part}").run)


def test_ingress_is_started_and_its_work_is_checked(bench: dict[str, ModuleType], tmp_path: Path) -> None:
    """Ours is started as users start it; answers without an entry in the stream are found out."""
    bodies, plan = bench["bodies"], bench["plan"]
    requests = bodies.write_requests(tmp_path / "requests", map(bodies.event_id, range(20)))
    only = plan.Plan(1, "quick", tmp_path, only=("ours",))
    (ours,) = bench["ingresses"].ingresses(only, plan.Samples(), None)
    with bench["servers"].Server(tmp_path) as server:
        running = ours.start(server, tmp_path)
        with running.process as process:
            bench["open_loop"].open_loop(running.port, requests, skip=0, count=20, rate=0)
            assert process.cpu > 0
            running.check(20)
            with pytest.raises(plan.WorkNotDone):
                running.check(21)


def test_what_is_filled_in_is_what_ingress_writes(bench: dict[str, ModuleType], tmp_path: Path) -> None:
    """A worker is measured on entries with their normalised event, and so is the memory that one takes."""
    filling, names = importlib.import_module("bench.filling"), ["one", "two"]
    with bench["servers"].Server(tmp_path) as server:
        filling.events(server.client, names)
        filling.stream(server.client, 2, 1)
        entries = [fields for _, fields in server.client.xrange(filling.KEYS.events(filling.STREAM))]
    assert [entry[b"id"].decode() for entry in entries][:2] == names
    assert [json.loads(entry[b"event"])["id"] for entry in entries] == [entry[b"id"].decode() for entry in entries]
    assert len({entry[b"id"] for entry in entries}) == 4
