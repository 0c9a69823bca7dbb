"""The first page: what flows, what waits, and who works."""

from collections.abc import Sequence
from functools import partial

from router.console.page import Page
from router.console.plot import Plot, plotted
from router.console.watch import INTERVAL, SPAN, Flow
from router.events.globs import short
from router.http.response import Response

_PLOTS = (
    ("arrived", "In", "events stored"),
    ("out", "Out", "done or dead"),
    ("retried", "Retried", "retries and deferrals"),
    ("died", "Dead", "deliveries given up"),
)


async def _answer(template: str, page: Page) -> Response:
    watch, catalogue = page.console.watch, page.console.catalogue
    snapshot = await watch.look()
    history = watch.history()
    found = snapshot.figures
    streams = [stream for stream in found.streams if not stream.is_idle]
    return page.answer(
        template,
        now=snapshot.moment,
        plots=[(name, title, text, _plot(history, name, found.moment)) for name, title, text in _PLOTS],
        lag=_plot(history, "lag", found.moment),
        waiting=found.total("lag"),
        down=found.down,
        subscriptions=found.rows,
        rates=watch.by_subscription(),
        streams=[(short(catalogue, stream.stream), stream) for stream in streams],
        idle=len(found.streams) - len(streams),
        interval=int(INTERVAL),
        minutes=int(SPAN / 60),
    )


show = partial(_answer, "overview.html")
"""Answers with the page."""
fragment = partial(_answer, "overview_now.html")
"""Answers with the part of the page that changes."""


def _plot(history: Sequence[Flow], name: str, now: float) -> Plot:
    return plotted([(flow.at, getattr(flow, name)) for flow in history], now, SPAN)
