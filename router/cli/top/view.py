"""How `top` looks: a pure function of what was found, for a screen of any size from 80 by 24 on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.cli.output.results import age, clean, number_of, span_text
from workers.operations.figures import Figures, Rates, Row
from workers.state.breakers import BreakerState
from workers.state.companies import CompanyPause
from workers.state.overview import HEADINGS
from workers.state.pauses import Pause

_WIDE = 110
_NAME_AT_LEAST = 12
_HEAD = 4  # lines above the rows
_LEFT_FOR_STREAMS = 5  # lines that are worth a second table
_THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Frame:
    """What there is to show: the last figures that were read, and why there are no newer ones, if so."""

    at: datetime
    interval: float
    figures: Figures | None
    rates: Rates | None
    error: str | None = None


def render(frame: Frame, width: int, height: int) -> RenderableType:
    """Return one frame for a screen of so many columns and lines."""
    parts: list[RenderableType] = [_headline(frame, width), _totals(frame)]
    if frame.error is not None:
        error = f"the store does not answer: {clean(frame.error)}"
        parts.append(Text(error, style="bold red", overflow="ellipsis", no_wrap=True))
    if frame.figures is not None and frame.figures.down:
        parts.append(_down(frame.figures.down, frame.at))
    parts.append(Text())
    if frame.figures is None:
        return Group(*parts)
    room = height - _HEAD - bool(frame.error) - bool(frame.figures.down)
    rows = _busiest(frame.figures.rows, max(1, room))
    parts.append(_subscriptions(rows, frame, width))
    if hidden := len(frame.figures.rows) - len(rows):
        parts.append(Text(f"and {number_of(hidden, 'subscription')} more", style="dim"))
    if not frame.figures.rows:
        parts.append(Text("there is no subscription: no worker has run yet", style="dim"))
    parts.extend(_streams(frame.figures, frame.rates, room - len(rows) - bool(hidden) - 1, width))
    return Group(*parts)


def _headline(frame: Frame, width: int) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, justify="right")
    every = f"every {frame.interval:g} s, q quits"
    line.add_row(Text("event-router top", style="bold"), Text(f"{frame.at:%Y-%m-%d %H:%M:%S} UTC   {every}"))
    line.width = width
    return line


def _totals(frame: Frame) -> RenderableType:
    found = frame.figures
    if found is None:
        return Text()
    held = sum(stream.length for stream in found.streams)
    parts = [
        f"in {_rate(sum(frame.rates.streams.values()) if frame.rates else None)}/s",
        f"out {_rate(sum(frame.rates.out.values()) if frame.rates else None)}/s",
        f"lag {_short(found.total('lag'))}",
        f"in hand {_short(found.total('pending'))}",
        f"scheduled {_short(found.total('scheduled'))}",
        f"dead {_short(found.total('dead'))}",
        f"events {_short(held)}",
    ]
    return Text("  ".join(parts), overflow="ellipsis", no_wrap=True)


def _down(breakers: Sequence[BreakerState], now: datetime) -> RenderableType:
    """Name the breakers that are open, for how long and why."""
    lasting = [span_text((now - breaker.since).total_seconds()) if breaker.since else "?" for breaker in breakers]
    parts = [f"{each.name} for {time}: {each.reason}" for each, time in zip(breakers, lasting, strict=True)]
    return Text(clean(f"down: {'; '.join(parts)}"), style="bold red", overflow="ellipsis", no_wrap=True)


def _busiest(rows: Sequence[Row], room: int) -> list[Row]:
    """Return the rows that are shown, in order of name: where there is no room for all, those with most to do."""
    if len(rows) <= room:
        return list(rows)
    most = sorted(rows, key=lambda row: (row.unfinished + row.total("dead"), row.name), reverse=True)
    return sorted(most[: max(1, room - 1)], key=lambda row: row.name)


def _subscriptions(rows: Sequence[Row], frame: Frame, width: int) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), width=width, header_style="bold")
    table.add_column("SUBSCRIPTION", no_wrap=True, overflow="ellipsis", ratio=2, min_width=_NAME_AT_LEAST)
    lag, *others = HEADINGS
    for name in ("IN/S", "OUT/S", lag, "OLDEST", *others):
        table.add_column(name, justify="right", no_wrap=True, min_width=5)
    table.add_column("WORKERS", justify="right", no_wrap=True)
    table.add_column("STATE", no_wrap=True, overflow="ellipsis", ratio=3 if width >= _WIDE else None, min_width=9)
    for row in rows:
        into, out = (frame.rates.into, frame.rates.out) if frame.rates else ({}, {})
        table.add_row(
            Text(clean(row.name)),
            _rate(into.get(row.name)),
            _rate(out.get(row.name)),
            _short(row.total("lag")),
            span_text(row.oldest) if row.oldest is not None else "-",
            _short(row.total("pending")),
            _short(row.total("scheduled")),
            Text(_short(row.total("dead")), style="red" if row.total("dead") else ""),
            Text(str(len(row.workers)) if row.is_of_workers else "-", style="" if row.workers else "red"),
            _state(row, wide=width >= _WIDE),
        )
    return table


def _state(row: Row, *, wide: bool) -> Text:
    if row.pause or row.companies:
        return Text(clean(_paused(row, wide=wide)), style="yellow")
    if not row.is_of_workers:
        return Text("other program", style="dim")
    if not row.workers:
        return Text("no worker", style="red" if row.total("lag") else "dim")
    if row.keys is not None and row.keys.held:
        return Text(f"{number_of(row.keys.held, 'key')} held" if wide else f"{_short(row.keys.held)} held", style="red")
    if row.keys is not None and row.keys.waiting and wide:
        return Text(f"runs, {_short(row.keys.waiting)} keys wait", style="green")
    return Text("runs", style="green")


def _paused(row: Row, *, wide: bool) -> str:
    if row.pause is not None:
        return _pause(row.pause) if wide else "paused"
    if not wide:
        return f"{_short(len(row.companies))} paused"
    first, *others = (f"company {pause.company} {_pause(pause)}" for pause in row.companies.values())
    return f"{first}; {len(others)} more" if others else first


def _pause(pause: Pause | CompanyPause) -> str:
    lasting = f" for {age(pause.since)}" if pause.since else ""
    until = f" until {pause.until:%H:%M} UTC" if pause.until else lasting
    return f"paused{until} by {pause.by}" + (f": {pause.reason}" if pause.reason else "")


def _streams(found: Figures, speed: Rates | None, room: int, width: int) -> Iterator[RenderableType]:
    """Yield the busiest streams, if there is room for some."""
    into = speed.streams if speed else {}
    waiting = {stream.stream: sum(way.lag for way in stream.subscriptions) for stream in found.streams}
    busy = [stream for stream in found.streams if into.get(stream.stream) or waiting[stream.stream]]
    busy.sort(key=lambda stream: (-into.get(stream.stream, 0.0), -waiting[stream.stream], stream.stream))
    if room < _LEFT_FOR_STREAMS or not busy:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", width=min(width, _WIDE))
    table.add_column("STREAM", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in ("IN/S", "EVENTS", "LAG"):
        table.add_column(name, justify="right", no_wrap=True, min_width=6)
    for stream in busy[: room - 3]:
        name = stream.stream
        table.add_row(Text(clean(name)), _rate(into.get(name)), _short(stream.length), _short(waiting[name]))
    yield Text()
    yield table


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:.1f}" if rate < _THOUSAND / 10 else _short(round(rate))


def _short(number: int) -> str:
    """Return a number in at most five characters: 999, 12.3k, 1.2M."""
    for size, unit in ((_THOUSAND**3, "G"), (_THOUSAND**2, "M"), (_THOUSAND, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}" if number < 100 * size else f"{number // size}{unit}"
    return str(number)
