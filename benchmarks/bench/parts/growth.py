"""What more of something costs: streams, subscriptions, backlog, retries, dead letters, larger bodies, processes."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench import filling
from bench.bodies import STREAM, event_id, sample_requests, write_requests
from bench.ours_rates import Load, intake_rate, large_intake_rate, work_rate
from bench.plan import Plan, Samples, WorkNotDone
from router.events.catalogue import Catalogue

__all__ = ["NOTES", "REFERENCE", "TITLE", "run"]

TITLE = "Growth"
NOTES = (
    "Ours alone, one process of a kind unless it says otherwise; each row is compared with the first of its table. "
    "Ingress is measured for a second without a warm-up, so its figures are below those of its own table; the worker "
    "with a no-op handler over 20,000 events."
)
REFERENCE = ""
_READY = 40_000
_NUMBER = 20_000
_SIZES = {"0.5 KB": (500, 15_000), "5 KB": (5_000, 8_000), "100 KB": (100_000, 800)}


class _Row(NamedTuple):
    case: str
    subject: str
    measure: Callable[[], dict[str, float]]


def run(plan: Plan, samples: Samples) -> None:
    """Measure every row in interleaved rounds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        rows = [row for row in _rows(plan, folder) if plan.wants(row.case)]
        rounds = plan.pick(1, 1, plan.rounds)
        for number, row in plan.interleaved(rows, min(plan.rounds, rounds)):
            try:
                samples.add(row.case, row.subject, row.measure())
            except (WorkNotDone, RuntimeError, TimeoutError) as error:
                samples.problem(f"{row.case}, {row.subject}, round {number + 1}: {error}")


def _rows(plan: Plan, folder: Path) -> Iterator[_Row]:
    ids = [event_id(number) for number in range(_NUMBER)]
    yield from _streams(folder, ids)
    yield from _subscriptions(folder, ids)
    yield from _beside(plan, folder, ids)
    yield from _bodies(folder)
    yield from _processes(folder, ids)


def _streams(folder: Path, ids: list[str]) -> Iterator[_Row]:
    known = [stream for stream in Catalogue.load().streams() if not stream.endswith("/unlisted")]
    for number in (1, 10, 58):
        streams = known[:number]
        requests = sample_requests(folder / f"streams-{number}", streams, _READY)
        yield _Row("streams, ingress", str(number), partial(intake_rate, requests, folder))
        load = Load(partial(_spread, ids=ids, streams=streams), ids, {"EVENTS": ",".join(streams)})
        yield _Row("streams, worker", str(number), partial(work_rate, load, folder))


def _spread(client: Any, ids: list[str], streams: list[str]) -> None:
    for number, stream in enumerate(streams):
        filling.events(client, ids[number :: len(streams)], name=stream)


def _subscriptions(folder: Path, ids: list[str]) -> Iterator[_Row]:
    for number in (1, 5, 20):
        given = ids[: _NUMBER // number]
        names = [f" bench-{index}" for index in range(number)] if number > 1 else [""]
        expected = [f"{id_}{name}" for name in names for id_ in given]
        variables = {"EVENTS": STREAM, "SUBSCRIPTIONS": str(number)}
        load = Load(partial(filling.events, ids=given), expected, variables)
        yield _Row("subscriptions in one worker, deliveries", str(number), partial(work_rate, load, folder))


def _beside(plan: Plan, folder: Path, ids: list[str]) -> Iterator[_Row]:
    """Yield rows for what lies about while other events are taken in and handled."""
    numbers = plan.pick((1_000, 30_000), (1_000, 100_000), (1_000, 100_000, 1_000_000))
    requests = write_requests(folder / "requests", map(event_id, range(_READY)))
    for number in numbers:
        finished = partial(filling.finished, number=number)
        yield _Row(
            "events in the stream, ingress", f"{number:,}", partial(intake_rate, requests, folder, prepare=finished)
        )
        yield _Row(
            "events in the stream, finished, worker", f"{number:,}", _work_beside(filling.finished, number, folder, ids)
        )
        yield _Row("scheduled retries, worker", f"{number:,}", _work_beside(filling.retries, number, folder, ids))
        yield _Row("dead letters, worker", f"{number:,}", _work_beside(filling.dead_letters, number, folder, ids))
        if number > _NUMBER:
            load = Load(partial(filling.stream, number=number, space=5), (), most=_NUMBER)
            yield _Row("events that wait, worker (the first 20,000)", f"{number:,}", partial(work_rate, load, folder))
        else:
            load = Load(partial(filling.events, ids=ids), ids)
            yield _Row("events that wait, worker (the first 20,000)", f"{_NUMBER:,}", partial(work_rate, load, folder))


def _work_beside(
    fill: Callable[[Any, int], None], number: int, folder: Path, ids: list[str]
) -> Callable[[], dict[str, float]]:
    def prepare(client: Any) -> None:
        fill(client, number)
        filling.events(client, ids)

    return partial(work_rate, Load(prepare, ids), folder)


def _bodies(folder: Path) -> Iterator[_Row]:
    for name, (size, number) in _SIZES.items():
        ids = [event_id(index) for index in range(number)]
        requests = write_requests(folder / f"bodies-{size}", ids, size=size)
        yield _Row("bodies, ingress", name, partial(large_intake_rate, requests, folder, number))
        load = Load(partial(filling.events, ids=ids, size=size), ids)
        yield _Row("bodies, worker", name, partial(work_rate, load, folder))


def _processes(folder: Path, ids: list[str]) -> Iterator[_Row]:
    requests = write_requests(folder / "requests-processes", map(event_id, range(_READY)))
    for number in (1, 2):
        yield _Row("processes, ingress", str(number), partial(intake_rate, requests, folder, processes=number))
        load = Load(partial(filling.events, ids=ids), ids, processes=number)
        yield _Row("processes, worker", str(number), partial(work_rate, load, folder))
