"""The parts that pages are made of: samples, plots, cursors, words, and the colours' contrast."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest
from support.filling import CUSTOMERS, put_dead, put_events, put_group

from config.settings import Settings
from router.console import paging, watch
from router.console.paging import PAGE_SIZE, Cursor, taken
from router.console.plot import HEIGHT, WIDTH, plotted
from router.console.rendering import ago, asset, grouped, lasting, moment, per_second, shown
from router.console.watch import SPAN, Watch
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.operations import Operations

NONE = "\N{EN DASH}"


async def looking(store: Store, catalogue: Catalogue) -> Watch:
    """Return a watch that samples whenever it is asked."""
    found = Watch(Operations(store, catalogue, Settings()), interval=0.0)
    await found.look()
    return found


async def test_rates_are_of_what_moved(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """In, out (done or dead), retried and dead are what came between two samples, by the second."""
    await put_group(store, "sync")
    ids = await put_events(store, "old")
    seen = await looking(store, catalogue)
    assert seen.history() == ()
    assert seen.by_subscription() == {}
    ids += await put_events(store, "e-1", "e-2", "e-3", "e-4")
    key = store.keys.events(CUSTOMERS)
    await store.client.xreadgroup("sync", "c", {key: ">"}, count=5)
    await store.client.xack(key, "sync", *ids[:3])
    await put_dead(store, "e-3")
    snapshot = await seen.look()
    (rates,) = seen.history()
    seconds = snapshot.figures.moment - (seen._before.figures.moment if seen._before else 0)
    assert rates.arrived is not None
    assert rates.arrived * seconds == pytest.approx(4)
    assert rates.out is not None
    assert rates.out * seconds == pytest.approx(3)
    assert rates.died is not None
    assert rates.died * seconds == pytest.approx(1)
    assert rates.retried == 0
    assert seen.by_subscription()["sync"] * seconds == pytest.approx(3)


async def test_retries_are_counted(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was scheduled again counts, also when it is due and gone by the next sample."""
    await put_group(store, "sync")
    await put_events(store, "e-1")
    parked = store.keys.parked(CUSTOMERS, "sync")
    await store.client.xadd(parked, {"id": "e-1"})
    seen = await looking(store, catalogue)
    entry_id = await store.client.xadd(parked, {"id": "e-2"})
    await store.client.xdel(parked, entry_id)
    await seen.look()
    assert (seen.history()[-1].retried or 0) > 0


async def test_a_gap_is_no_rate(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happened while nobody looked is not told as if it had been seen."""
    seen = await looking(store, catalogue)
    monkeypatch.setattr(watch, "_GAP", -1.0)
    await seen.look()
    assert seen.history()[-1].arrived is None


async def test_what_is_set_back_is_not_negative(
    store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counters that fell, such as on a server that was flushed, are no rate below nothing."""
    await put_group(store, "sync")
    await put_events(store, "e-1", "e-2")
    seen = await looking(store, catalogue)
    await store.client.delete(store.keys.events(CUSTOMERS))
    await put_group(store, "other")
    await seen.look()
    rates = seen.history()[-1]
    assert (rates.arrived, rates.out, rates.died) == (0, 0, 0)


def test_plot() -> None:
    """A plot ends at now, fits its frame, and has a gap where nothing is known."""
    plot = plotted([(0, 5), (400, 0), (500, 10), (550, None), (600, 2)], 600, 200)
    assert (plot.highest, plot.latest) == (10, 2)
    assert plot.line.count("M") == plot.area.count("M") == 2
    numbers = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", plot.line)]
    assert numbers[-1][0] == WIDTH
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in numbers)
    assert plotted([], 0, 10) == ("", "", 0, None)
    assert "nan" not in plotted([(1, 0.0), (2, 0.0)], 2, 10).line


async def test_a_search_in_vain_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page shows what was found when it took too long."""
    monkeypatch.setattr(paging, "_PATIENCE", 0.05)

    async def endless() -> AsyncIterator[str]:
        yield "2-0"
        await asyncio.Event().wait()

    page = await taken(endless(), Cursor(), str)
    assert (page.items, page.given_up, page.following) == (["2-0"], True, None)


async def test_cursor() -> None:
    """The next page begins after the last entry of this one, and what is no cursor is the first page."""

    async def ids() -> AsyncIterator[str]:
        for number in range(PAGE_SIZE + 1, 0, -1):
            yield f"{number}-0"

    page = await taken(ids(), Cursor(), str)
    assert page.following == {"older": "2-0", "skip": "1"}
    rest = await taken(ids(), Cursor.of(page.following), str)
    assert (rest.items, rest.following) == (["1-0"], None)
    for older, skip in (("x", "1"), ("1-1-1", "1"), ("", ""), ("9" * 40 + "-0", "1")):
        assert Cursor.of({"older": older, "skip": skip}) == Cursor()
    assert Cursor.of({"older": "5-0", "skip": "-1"}) == Cursor("5-0", 0)
    assert Cursor.of({"older": "5-0", "skip": "9" * 4400}) == Cursor("5-0", 0)


def test_words() -> None:
    """Numbers are grouped, rates as precise as is worth reading, times told in their largest unit."""
    thin = "\N{NARROW NO-BREAK SPACE}"
    assert [grouped(number) for number in (0, 999, 1234567, None)] == ["0", "999", f"1{thin}234{thin}567", NONE]
    assert [per_second(rate) for rate in (None, 0, 0.04, 0.5, 9.96, 1234.4)] == [
        NONE,
        "0",
        "0.04",
        "0.5",
        "10.0",
        f"1{thin}234",
    ]
    now = datetime(2026, 1, 2, tzinfo=UTC)
    told = [ago(now - timedelta(seconds=seconds), now) for seconds in (0, 5, 65, 7300, 200_000, -90)]
    assert told == ["now", "5 s ago", "1 min ago", "2 h ago", "2 d ago", "in 1 min"]
    assert (ago(None), lasting(0.5), lasting(3600)) == (NONE, "< 1 s", "1 h")
    assert 'datetime="2026-01-02T00:00:00.000Z"' in moment(now)
    assert (str(shown("a\x1b[31m<b>")), str(shown(False))) == ("a\N{REPLACEMENT CHARACTER}[31m&lt;b&gt;", "no")


# Colours

TEXTS = ("text", "muted", "link", "bad", "warn", "good")
GROUNDS = ("ground", "panel", "raised")
PAIRS = [
    *itertools.product(TEXTS, GROUNDS),
    *((ink, f"{kind}-ground") for kind in ("bad", "warn", "good") for ink in (kind, "text")),
    ("on-main", "main"),
    ("on-main", "danger"),
]
EDGES = [*itertools.product(("edge", "focus"), GROUNDS)]


def colours() -> dict[str, tuple[str, str]]:
    """Return the variables of the style sheet: for light and for dark."""
    css = asset("console.css")[0].decode()
    return {
        name: (light, dark) for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    }


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of WCAG 2."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    """Every text has the contrast of WCAG AA on every ground it can be on, every edge of a control that of 1.4.11."""
    found = colours()
    assert len(found) > 15
    for least, pairs in ((4.5, PAIRS), (3.0, EDGES)):
        for ink, ground in pairs:
            number = contrast(found[ink][scheme], found[ground][scheme])
            assert number >= least, f"{ink} on {ground}: {number:.2f}"
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_colours_are_in_one_place() -> None:
    """No rule has a colour of its own, which nobody would check."""
    css = asset("console.css")[0].decode()
    rules = css[css.index("*, *::before") :]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", rules)


def test_the_script_and_the_styles_are_small() -> None:
    """What a browser loads is a few kilobytes, and comes from nowhere else."""
    static = files("router.console").joinpath("static")
    for name, most in (("console.css", 20_000), ("console.js", 5_000), ("icon.svg", 500)):
        text = static.joinpath(name).read_text()
        assert len(text) < most
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_history_is_bounded() -> None:
    """The samples that are kept are those of the span that is drawn."""
    assert Watch(None)._flows.maxlen == SPAN / 4  # type: ignore[arg-type]
