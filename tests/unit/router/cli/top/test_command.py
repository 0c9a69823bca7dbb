"""`top`: how a frame looks, and what it prints where there is no terminal."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_events, put_group

from router.cli.command.stdio import shown_as
from router.cli.top.view import Frame, render
from router.store.client import Store
from workers.operations.figures import Figures, Rates, Row
from workers.state.breakers import BreakerState
from workers.state.key_counts import KeyCounts
from workers.state.overview import StreamOverview, SubscriptionOverview
from workers.state.pauses import Pause

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WAY = SubscriptionOverview("sync", 1234, 5, 6, 0)
ROW = Row("sync", {CUSTOMERS: WAY}, 75.0, ("w1", "w2"))
STREAM = StreamOverview(CUSTOMERS, 56_789, (WAY,))


def frame(*rows: Row, streams: int = 1, error: str | None = None) -> Frame:
    """Return a frame with these rows."""
    found = tuple(replace(STREAM, stream=f"{FINANCIAL}/event{number}") for number in range(streams))
    names = [row.name for row in rows]
    speed = Rates({stream.stream: 12.34 for stream in found}, dict.fromkeys(names, 12.34), dict.fromkeys(names, 4567.8))
    return Frame(AT, 1.0, Figures(0.0, found, rows), speed, error)


def drawn(found: Frame, width: int = 80, height: int = 24) -> list[str]:
    """Return the lines of a frame."""
    file = io.StringIO()
    Console(file=file, width=width, height=height, no_color=True).print(render(found, width, height))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_frame() -> None:
    """It tells when, the totals, and of each subscription what it does, in a line."""
    lines = drawn(frame(ROW))
    assert lines[0].startswith("event-router top")
    assert lines[0].endswith("2026-01-02 03:04:05 UTC   every 1 s, q quits")
    assert lines[1] == "in 12.3/s  out 4.6k/s  lag 1.2k  in hand 5  scheduled 6  dead 0  events 56.8k"
    assert lines[3].split() == [
        *("SUBSCRIPTION", "IN/S", "OUT/S", "LAG", "OLDEST", "IN", "HAND", "SCHEDULED", "DEAD", "WORKERS", "STATE"),
    ]
    assert lines[4].split() == ["sync", "12.3", "4.6k", "1.2k", "1m", "5", "6", "0", "2", "runs"]
    assert lines[6].split() == ["STREAM", "IN/S", "EVENTS", "LAG"]
    assert lines[7].split() == [f"{FINANCIAL}/event0", "12.3", "56.8k", "1.2k"]


def test_what_is_down_is_named() -> None:
    """Open breakers are in a line of their own, with for how long and why; closed ones are not."""
    down = BreakerState("crm", True, AT - timedelta(minutes=3), 5, AT, "status 503", AT)
    up = replace(down, name="erp", is_open=False)
    found = frame(ROW)
    assert found.figures is not None
    lines = drawn(replace(found, figures=replace(found.figures, breakers=(down, up))))
    assert lines[2] == "down: crm for 3m: status 503"
    assert lines[4].startswith("SUBSCRIPTION")


def test_a_terminal_of_an_old_alphabet() -> None:
    """Where a terminal knows ASCII alone a frame is ASCII too, and no wider: a name that is cut ends in one mark."""
    shown_as("", "ascii")
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", errors="event-router")
    Console(file=file, width=80, no_color=True).print(render(frame(replace(ROW, name="x" * 99)), 80, 24))
    file.flush()
    lines = raw.getvalue().decode("ascii").splitlines()
    assert max(map(len, lines)) <= 80
    assert "x~ " in lines[4]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 40), (200, 60), (80, 10), (60, 5)])
@pytest.mark.parametrize("rows", [0, 1, 8, 50])
def test_it_fits(width: int, height: int, rows: int) -> None:
    """No line is wider than the screen and no frame is longer, however much there is; every number is whole."""
    pause = Pause("1-1", AT, AT + timedelta(hours=1), "ann@a-host-with-a-long-name.example.com", "closed " * 20)
    many = [replace(ROW, name=f"a-subscription-with-a-long-name-{number}", pause=pause) for number in range(rows)]
    lines = drawn(frame(*many, streams=40, error="connection refused " * 9), width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= max(height, 7)
    if rows and width >= 80:
        assert all({"12.3", "4.6k", "1.2k"} <= set(line.split()) for line in lines if line.startswith("a-sub"))


def test_the_busiest_are_shown_where_there_is_no_room_for_all() -> None:
    """Those with most to do stay on the screen, and how many others there are is said."""
    rows = [replace(ROW, name=f"s{number:02}", ways={CUSTOMERS: replace(WAY, lag=number)}) for number in range(30)]
    lines = drawn(frame(*rows), height=16)
    shown = [line.split()[0] for line in lines if line.startswith("s") and line[1:3].isdigit()]
    assert shown == [f"s{number:02}" for number in range(19, 30)]
    assert "and 19 subscriptions more" in lines


def test_states() -> None:
    """A pause is told, with its end and reason where there is room; so is that nobody works."""
    pause = Pause("1-1", AT, AT + timedelta(hours=1), "ann", "closed")
    rows = [replace(ROW, name="a", pause=pause), replace(ROW, name="b", workers=())]
    assert [line.split()[-1] for line in drawn(frame(*rows))[4:6]] == ["paused", "worker"]
    assert drawn(frame(*rows), width=130)[4].endswith("paused until 04:04 UTC by ann: closed")


def test_keys() -> None:
    """Of a keyed subscription it is told how many keys wait, where there is room, and always that some are held."""
    waiting = replace(ROW, name="a", keys=KeyCounts(1100, 2, 3, 4, 0))
    held = replace(ROW, name="b", keys=KeyCounts(0, 0, 0, 0, 2))
    assert [line.split()[-1] for line in drawn(frame(waiting, held))[4:6]] == ["runs", "held"]
    wide = drawn(frame(waiting, held), width=130)
    assert wide[4].endswith("runs, 1.1k keys wait")
    assert wide[5].endswith("2 keys held")


def test_a_store_that_is_away() -> None:
    """It is said, above the last figures that there are, if any."""
    lines = drawn(frame(ROW, error="refused"))
    assert "the store does not answer: refused" in lines
    assert any(line.startswith("sync") for line in lines)
    assert "the store does not answer: refused" in drawn(Frame(AT, 1.0, None, None, "refused"))


def test_hostile_names() -> None:
    """A name that somebody wrote into the store by hand commands neither the terminal nor the layout."""
    lines = drawn(frame(replace(ROW, name="\x1b[31m[red]x")))
    assert any(line.startswith("�[31m[red]x") for line in lines)


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return a command line on a store in which `sync` has something to do."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        await put_events(store, "e1", "e2")
        await put_dead(store, "d1")

    cli.fill(fill)
    return cli


def test_once(filled: Cli) -> None:
    """One frame, without colours or commands to the terminal."""
    text = filled.ok("top", "--once", "--interval", "0.1")
    assert "\x1b" not in text
    (line,) = [line.split() for line in text.splitlines() if line.startswith("sync")]
    assert line[1:4] == ["0.0", "0.0", "2"]
    assert line[5:] == ["0", "0", "1", "0", "no", "worker"]


def test_json(filled: Cli) -> None:
    """For programs one object, with the numbers as they are."""
    filled.ok("subscriptions", "pause", "sync", "--reason", "why")
    found = filled.json("top", "--once", "--interval", "0.1")
    assert found["error"] is None
    (row,) = found["subscriptions"]
    assert row.pop("oldest_seconds") >= 0
    assert row.pop("paused")["reason"] == "why"
    assert row == {
        "name": "sync",
        "in_rate": 0.0,
        "out_rate": 0.0,
        "lag": 2,
        "pending": 0,
        "scheduled": 0,
        "dead": 1,
        "workers": 0,
    }
    assert found["streams"] == [{"stream": CUSTOMERS, "length": 2, "in_rate": 0.0}]
