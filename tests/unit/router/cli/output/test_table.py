"""Tables: plain and complete for a pipe, fitted to the width of a terminal."""

import io
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from support.cli import Terminal
from support.filling import CUSTOMERS, FINANCIAL, history, raw_of

from router.cli.output.rows import DEAD_LETTER_COLUMNS, dead_letter_row
from router.cli.output.table import Column, TwoForms, ident, print_table, rest
from router.events.catalogue import Catalogue
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.shortened import is_short_for

ID = "bc0fa46d-44da-45c4-8c18-a26cb6eca33c"
MESSAGE = "no customer 55 in the shop: create it first, then replay this event " * 3


def drawn(width: int, columns: Any, rows: Any) -> list[str]:
    """Return the lines of a table on a terminal of this width, which none of them exceeds."""
    terminal = Terminal()
    print_table(columns, rows, terminal, width)
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return lines


def test_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are aligned, nothing is cut, an empty cell is a dash and what could command a terminal is not printed."""
    columns = (Column("A"), ident("B"), Column("C", drawn="c", right=True, drop=1))
    print_table(columns, [("x" * 100, None, TwoForms("long", "l")), ("y\n\x1b[2J", "", "ø")])
    assert capsys.readouterr().out.splitlines() == [
        f"A{' ' * 99}  B  C",
        f"{'x' * 100}  -  long",
        f"y\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2J{' ' * 94}  -  ø",
    ]
    print_table(("A", "B"), [])
    assert capsys.readouterr().out == "A  B\n"


def test_drawn() -> None:
    """On a terminal a line is under the headers, numbers are right-aligned, and cells say it shorter."""
    columns = (Column("TIME", drawn="AGE", right=True), "NAME")
    assert drawn(
        80, columns, [(TwoForms("2025-01-01", "3d"), "[bold]x"), (TwoForms("2025-01-02", "12h"), "\x1b[31mred")]
    ) == [
        "AGE  NAME",
        "───  ────────",
        " 3d  [bold]x",
        "12h  \N{REPLACEMENT CHARACTER}[31mred",
    ]
    assert drawn(80, ("NAME",), []) == ["NAME", "────"]


def test_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width is what COLUMNS says, else what the terminal says, else 80."""
    columns, rows = (rest("ERROR"),), [("x" * 200,)]
    for given, width in (("50", 50), ("0", 80), ("wide", 80)):
        terminal = Terminal()
        monkeypatch.setenv("COLUMNS", given)
        print_table(columns, rows, terminal)
        assert len(terminal.getvalue().splitlines()[2]) == width


def test_in_turn() -> None:
    """What does not fit becomes shorter or goes in the order of the turns; what is freed goes to the sentences."""
    columns = (ident("ID"), Column("OPTIONAL", drop=4), rest("ERROR"))
    row = (ID, "12345678", "e" * 60)
    assert drawn(120, columns, [row])[2] == f"{ID}  12345678  {'e' * 60}"
    assert drawn(100, columns, [row])[2] == f"bc0fa46d-44da-…-a26cb6eca33c  12345678  {'e' * 60}"
    assert drawn(70, columns, [row])[2] == f"bc0fa…ca33c  12345678  {'e' * 46}…"
    assert drawn(50, columns, [row])[2] == f"bc0fa…ca33c  12345678  {'e' * 26}…"
    assert drawn(40, columns, [row])[2] == f"bc0fa…ca33c  {'e' * 26}…"


def test_headers_are_never_broken() -> None:
    """However narrow the terminal, a header is whole, and nothing is left out that was not meant to be."""
    terminal = Terminal()
    print_table((ident("IDENTIFICATION"), rest("ERROR")), [("x" * 40, "y" * 40)], terminal, 10)
    assert terminal.getvalue().splitlines()[0].split() == ["IDENTIFICATION", "ERROR"]


def test_words_are_whole() -> None:
    """A text that goes on in the next line is broken between words, and only one without any within."""
    columns = ("STATE", rest("FOUND", "wrap"))
    lines = drawn(37, columns, [("OK", "a well-known text that is longer than the room for it"), ("NO", "x" * 40)])
    assert lines[2:] == [
        "OK     a well-known text that is",
        "       longer than the room for it",
        f"NO     {'x' * 30}",
        f"       {'x' * 10}",
    ]


def test_wide_characters() -> None:
    """A character that takes two cells of a terminal counts as two."""
    terminal = Terminal()
    print_table((rest("ERROR"), "N"), [("顧客" * 30, "1"), ("a" * 40, "2")], terminal, 32)
    assert terminal.getvalue().splitlines()[2:] == [f"{'顧客' * 7}…  1", f"{'a' * 28}…  2"]


@pytest.fixture
def letters(catalogue: Catalogue) -> list[DeadLetterEntry]:
    """Return a dead letter of a usual event and one with a long name, both with a long message."""
    at = int((datetime.now(UTC) - timedelta(hours=3)).timestamp() * 1000)
    fields = {b"id": ID.encode(), b"at": b"1", b"attempts": b"8", b"history": history(MESSAGE), b"reason": b"failed"}
    streams = (CUSTOMERS, f"{FINANCIAL}/background_api_operation_response_ready")
    return [
        DeadLetterEntry(
            catalogue,
            stream,
            "customer-sync",
            f"{at}-0".encode(),
            {**fields, b"raw": raw_of("x", stream, "customer/55555")},
        )
        for stream in streams
    ]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ["ID", "AGE", "EVENT", "SUBSCRIPTION", "ERROR"]),
        (100, ["ID", "AGE", "EVENT", "RESOURCE", "SUBSCRIPTION", "ERROR"]),
        (120, ["ID", "AGE", "EVENT", "RESOURCE", "SUBSCRIPTION", "ATTEMPTS", "ERROR"]),
    ],
)
def test_dead_letters(catalogue: Catalogue, letters: list[DeadLetterEntry], width: int, columns: list[str]) -> None:
    """At each usual width a dead letter is one line that tells it, and the wider the terminal, the more."""
    lines = drawn(width, DEAD_LETTER_COLUMNS, map(partial(dead_letter_row, catalogue), letters))
    assert lines[0].split() == columns
    usual, long = lines[2:]
    assert usual.startswith("bc0fa…ca33c   3h  customer_changed  ")
    assert "  customer-sync  " in usual
    assert "ValueError: no cust" in usual
    assert usual.endswith("…")
    assert long[18:].startswith("background_a")
    assert "customer/55555" not in usual or width > 80


def test_a_terminal_of_an_old_alphabet() -> None:
    """Where a terminal knows ASCII alone, rule and ellipsis are ASCII too, and all is aligned."""

    class Ascii(io.TextIOWrapper):
        def isatty(self) -> bool:
            """Be a terminal."""
            return True

    file = Ascii(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    print_table((ident("ID"), Column("NAME"), Column("X")), [(ID, "Åse", "1"), ("short", "Bo", "2")], file, 30)
    file.seek(0)
    head, rule, first, second = file.read().splitlines()
    assert set(rule) == {"-", " "}
    assert "..." in first
    assert {line.index(text) for line, text in ((head, "NAME"), (first, "\\xc5se"), (second, "Bo"))} == {
        head.index("NAME")
    }
    assert is_short_for(first.split()[0], ID)
