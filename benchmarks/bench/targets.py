"""What is aimed at, and whether the figures reach it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from bench.figures import Figures
from bench.ingresses import BARE, FASTSTREAM, OURS

__all__ = ["Verdict", "verdicts"]


class Verdict(NamedTuple):
    """A figure that something is aimed at: what was measured, and whether it is enough."""

    text: str
    aim: str
    value: float
    met: bool


class _Target(NamedTuple):
    text: str
    value: Callable[[Figures], float]
    limit: float
    most: bool = False


def _ingress(over: str, measure: str = "requests/s") -> Callable[[Figures], float]:
    def value(figures: Figures) -> float:
        case = "closed loop, 64 connections"
        return figures.get("ingress", case, OURS, measure) / figures.get("ingress", case, over, measure)

    return value


def _worker(over: str) -> Callable[[Figures], float]:
    def value(figures: Figures) -> float:
        case, measure = "no-op handler", "events/s"
        return figures.get("worker", case, OURS, measure) / figures.get("worker", case, over, measure)

    return value


def _waiting(figures: Figures) -> float:
    """Return the part of the ceiling that a handler of 5 ms reaches: 20,000 a second, or the no-op rate if less."""
    reached = figures.get("worker", "handler that awaits 5 ms", OURS, "events/s")
    return reached / min(20_000, figures.get("worker", "no-op handler", OURS, "events/s"))


def _latency(figures: Figures) -> float:
    return figures.get("latency", "50 % of the peak", OURS, "p99 ms")


def _latency_over_bare(figures: Figures) -> float:
    return _latency(figures) / figures.get("latency", "50 % of the peak", BARE, "p99 ms")


def _measured(part: str, case: str, subject: str, measure: str) -> Callable[[Figures], float]:
    return lambda figures: figures.get(part, case, subject, measure)


def _in_last(case: str, measure: str) -> Callable[[Figures], float]:
    return lambda figures: figures.last("operator", case, measure)


def _grown(case: str) -> Callable[[Figures], float]:
    """Return the throughput with 10⁶ of something, as a part of that with 10³."""
    measure = "requests/s" if case.endswith("ingress") else "events/s"
    return lambda found: found.get("growth", case, "1,000,000", measure) / found.get("growth", case, "1,000", measure)


_FLOW = ("flow", "1,000 events a second", OURS)
_IDLE = ("idle", "58 streams", "worker")
_GROWING = (
    "events in the stream, ingress",
    "events in the stream, finished, worker",
    "scheduled retries, worker",
    "dead letters, worker",
)

_TARGETS = (
    _Target("ingress, over bare aiohttp", _ingress(BARE), 0.85),
    _Target("ingress, processor time over bare aiohttp", _ingress(BARE, "CPU µs/request"), 1.18, most=True),
    _Target("ingress, over FastAPI + FastStream", _ingress(FASTSTREAM), 5),
    _Target("ingress p99 at 50 % load, over bare aiohttp", _latency_over_bare, 2, most=True),
    _Target("ingress p99 at 50 % load, ms", _latency, 15, most=True),
    _Target("worker, no-op, over FastStream", _worker("FastStream"), 20),
    _Target("worker, no-op, over taskiq", _worker("taskiq-redis"), 18),
    _Target("worker, no-op, over BullMQ", _worker("BullMQ"), 3),
    _Target("worker, no-op, over the bare redis-py loop", _worker("bare redis-py loop"), 0.4),
    _Target("worker, 5 ms handler, part of the ceiling", _waiting, 0.9),
    _Target("end to end at 1,000/s, p50 ms", _measured(*_FLOW, "p50 ms"), 4, most=True),
    _Target("end to end at 1,000/s, p99 ms", _measured(*_FLOW, "p99 ms"), 20, most=True),
    *(_Target(f"10⁶ over 10³ {case}", _grown(case), 0.9) for case in _GROWING),
    _Target("idle worker, commands a second", _measured(*_IDLE, "commands/s"), 2, most=True),
    _Target(
        "idle worker with a key, commands a second",
        _measured(*_IDLE[:2], "worker with a key", "commands/s"),
        3,
        most=True,
    ),
    _Target("idle worker, % of a core", _measured(*_IDLE, "CPU %"), 0.5, most=True),
    _Target(
        "`dlq list`, first page, ms in the store", _in_last("dlq list, dead letters", "ms in the store"), 300, most=True
    ),
    _Target("`dlq replay`, a second", _in_last("dlq replay, dead letters", "letters/s"), 5_000),
)


def verdicts(documents: Sequence[dict[str, Any]]) -> Iterator[Verdict]:
    """Yield a verdict for each target that the documents have figures for."""
    figures = Figures(documents)
    for text, value, limit, most in _TARGETS:
        try:
            found = value(figures)
        except KeyError:
            continue
        aim = f"{'≤' if most else '≥'} {limit:,g}"
        yield Verdict(text, aim, found, found <= limit if most else found >= limit)
