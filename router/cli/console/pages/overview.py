"""The first page: what flows, what waits, and who works."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web

from router.cli.console.counters import Snapshot
from router.cli.console.plot import Plot, plotted
from router.cli.console.site import Page
from router.cli.console.watch import INTERVAL, SPAN, Rates
from router.globs import short
from workers.overview import MOST_COUNTED, SubscriptionOverview
from workers.pausing import Pause

__all__ = ["Row", "fragment", "rows", "show"]

_FIGURES = ("lag", "pending", "scheduled", "dead")
_PLOTS = (
    ("arrived", "In", "events stored"),
    ("done", "Done", "deliveries finished"),
    ("retried", "Retried", "attempts tried again"),
    ("died", "Dead", "deliveries given up"),
)


@dataclass(slots=True)
class Row:
    """One subscription, over all its streams.

    `waiting` is for how long the oldest event has waited, seconds; `rate` what is finished a second.
    """

    name: str
    ways: list[tuple[str, SubscriptionOverview]] = field(default_factory=list)
    waiting: float | None = None
    pause: Pause | None = None
    workers: Sequence[str] = ()
    rate: float | None = None

    def total(self, figure: str) -> int:
        """Return the sum of a figure over the streams."""
        return sum(getattr(way, figure) for _, way in self.ways)

    @property
    def busy(self) -> list[tuple[str, SubscriptionOverview]]:
        """How far it is with the streams on which it has something to do, or dead letters."""
        return [(stream, way) for stream, way in self.ways if _is_busy(way)]

    @property
    def idle(self) -> list[str]:
        """The other streams."""
        return [stream for stream, way in self.ways if not _is_busy(way)]

    @property
    def is_counted_in_part(self) -> bool:
        """Whether the lag may be more than is said."""
        return any(way.lag == MOST_COUNTED for _, way in self.ways)


async def show(page: Page) -> web.StreamResponse:
    """Show the page."""
    return await _answer(page, "overview.html")


async def fragment(page: Page) -> web.StreamResponse:
    """Show the part of the page that changes."""
    return await _answer(page, "overview_now.html")


def rows(snapshot: Snapshot, rates: dict[str, float]) -> list[Row]:
    """Return the subscriptions in order of name."""
    found: dict[str, Row] = {}
    for stream, way in snapshot.ways():
        row = found.setdefault(way.name, Row(way.name, rate=rates.get(way.name)))
        row.ways.append((stream, way))
        row.waiting = max(row.waiting or 0.0, snapshot.waiting.get((stream, way.name), 0.0))
        row.pause = snapshot.paused.get(way.name)
        row.workers = snapshot.consumers.get(way.name, ())
    return [found[name] for name in sorted(found)]


async def _answer(page: Page, template: str) -> web.StreamResponse:
    watch, catalogue = page.console.watch, page.console.catalogue
    snapshot = await watch.look()
    history = watch.history()
    streams = [stream for stream in snapshot.streams if not stream.is_idle]
    return page.answer(
        template,
        now=snapshot.moment,
        plots=[(name, title, text, _plot(history, name, snapshot.at)) for name, title, text in _PLOTS],
        lag=_plot(history, "lag", snapshot.at),
        waiting=sum(way.lag for _, way in snapshot.ways()),
        subscriptions=rows(snapshot, dict(watch.by_subscription())),
        streams=[(short(catalogue, stream.stream), stream) for stream in streams],
        idle=len(snapshot.streams) - len(streams),
        figures=_FIGURES,
        interval=int(INTERVAL),
        minutes=int(SPAN / 60),
    )


def _is_busy(way: SubscriptionOverview) -> bool:
    return any(getattr(way, figure) for figure in _FIGURES)


def _plot(history: Sequence[Rates], name: str, now: float) -> Plot:
    return plotted([(rates.at, getattr(rates, name)) for rates in history], now, SPAN)
