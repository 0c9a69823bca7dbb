"""Bar charts of the figures, as SVG."""

from collections.abc import Sequence
from html import escape
from typing import Any

from bench.stats import Summary, summary

__all__ = ["bars", "chart"]

_WIDTH, _LABELS, _ROW, _BAR, _TOP = 760, 250, 30, 16, 44
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}.head{font-weight:600;font-size:15px}"
    ".bar{fill:#8c959f}.ours{fill:#0969da}.range{stroke:#57606a;stroke-width:2}"
)


def chart(found: dict[str, Any], case: str) -> str:
    """Return a chart of a case's first measure, of one part's document; raises KeyError where it was not measured."""
    figures = [figure for figure in found["figures"] if figure["case"] == case]
    if not figures:
        raise KeyError(case)
    measure = next(iter(figures[0]["measures"]))
    rows = [(figure["subject"], summary(figure["measures"][measure])) for figure in figures]
    return bars(f"{found['title']}: {case}, {measure}", rows)


def bars(title: str, rows: Sequence[tuple[str, Summary]]) -> str:
    """Return horizontal bars of the medians, each with a line from the lowest to the highest; ours stands out."""
    scale = (_WIDTH - _LABELS - 80) / (max(row.high for _, row in rows) or 1)
    parts = [_bar(index, name, row, scale) for index, (name, row) in enumerate(rows)]
    height = _TOP + _ROW * len(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f'<title>{escape(title)}</title><style>{_STYLE}</style><text class="head" x="0" y="20">{escape(title)}</text>'
        f"{''.join(parts)}</svg>\n"
    )


def _bar(index: int, name: str, row: Summary, scale: float) -> str:
    top = _TOP + index * _ROW
    middle = top + _BAR / 2
    low, end, high = (_LABELS + value * scale for value in (row.low, row.median, row.high))
    kind = "bar ours" if name.startswith("ours") else "bar"
    return (
        f'<text x="{_LABELS - 10}" y="{top + 13}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="{kind}" x="{_LABELS}" y="{top}" width="{end - _LABELS:.1f}" height="{_BAR}"/>'
        f'<line class="range" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>'
        f'<text x="{max(high, end) + 8:.1f}" y="{top + 13}">{row.median:,.0f}</text>'
    )
