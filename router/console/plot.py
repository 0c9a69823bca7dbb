"""A small plot as SVG: the shape of a few minutes, read at a glance."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

WIDTH, HEIGHT = 300.0, 48.0
_ROOM = 3.0  # left free above and below, so that no line is cut


class Plot(NamedTuple):
    """The paths of a line and of the area under it, and the highest value; `latest` is None where none is known."""

    line: str
    area: str
    highest: float
    latest: float | None


def plotted(points: Sequence[tuple[float, float | None]], until: float, span: float) -> Plot:
    """Plot values by their times (seconds) over the `span` that ends at `until`; a value of None is a gap."""
    shown = [(at, value) for at, value in points if at >= until - span]
    highest = max((value for _, value in shown if value is not None), default=0.0)
    runs = [[(_x(at, until, span), _y(value, highest)) for at, value in run] for run in _runs(shown)]
    line = " ".join("M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in run) for run in runs)
    area = " ".join(
        f"M{run[0][0]:.1f} {HEIGHT:.1f} "
        + " ".join(f"L{x:.1f} {y:.1f}" for x, y in run)
        + f" L{run[-1][0]:.1f} {HEIGHT:.1f} Z"
        for run in runs
    )
    return Plot(line, area, highest, shown[-1][1] if shown else None)


def _runs(points: Sequence[tuple[float, float | None]]) -> Iterator[list[tuple[float, float]]]:
    for known, run in groupby(points, lambda point: point[1] is not None):
        if known:
            yield [(at, value) for at, value in run if value is not None]


def _x(at: float, until: float, span: float) -> float:
    return WIDTH * (1 - (until - at) / span)


def _y(value: float, highest: float) -> float:
    return HEIGHT - _ROOM - (HEIGHT - 2 * _ROOM) * (value / highest if highest else 0.0)
