"""Tables: plain and complete for a pipe, so that grep and awk find everything, and fitted to the width of a terminal.

A terminal gets what a person reads: headers are never broken and words only where there is no other way. What does not
fit is made shorter in the order of the columns' turns: an id is cut in its middle, a message at its end, and a column
that can be missed is left out.
"""

import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TextIO

from rich.cells import cell_len

from router.cli.command.stdio import shown_as
from router.cli.output.results import clean
from workers.operations.shortened import SHORTENED

_GAP = "  "
_USUAL_WIDTH = 80
_ENOUGH = 44

Cut = Literal["middle", "end", "wrap"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column, and what becomes of it where there is no room; among all columns the lowest turn comes first.

    drawn: its name on a terminal, if it is another. shrink: the turns, and how narrow it may become in each. cut: where
    a text that is too long loses a part, or that it goes on in a next line. drop: the turn in which it is left out, 0
    for never. rest: whether it gets the room that is left.
    """

    name: str
    drawn: str = ""
    right: bool = False
    shrink: tuple[tuple[int, int], ...] = ()
    cut: Cut = "end"
    drop: int = 0
    rest: bool = False

    @property
    def header(self) -> str:
        """Its name on a terminal."""
        return self.drawn or self.name


EVENT = Column("EVENT", shrink=((4, 28), (6, 24), (11, 16)), cut="middle")
RESOURCE = Column("RESOURCE", shrink=((5, 16),), cut="middle", drop=7)
SUBSCRIPTION = Column("SUBSCRIPTION", shrink=((9, 14),), cut="middle")


class TwoForms(NamedTuple):
    """A cell that says it shorter on a terminal."""

    plain: str | None
    drawn: str | None


def ident(name: str, drop: int = 0) -> Column:
    """Return a column of ids; five characters of either end tell those apart that are random."""
    return Column(name, shrink=((2, 11),), cut="middle", drop=drop)


def rest(name: str, cut: Cut = "end") -> Column:
    """Return a column of sentences."""
    return Column(name, shrink=((3, 20),), cut=cut, rest=True)


def print_table(
    columns: Sequence[Column | str], rows: Iterable[Sequence[object]], file: TextIO | None = None, width: int = 0
) -> None:
    """Print rows under their columns, to stdout unless it says elsewhere, in the width of the terminal."""
    file = file or sys.stdout
    whole = [Column(column) if isinstance(column, str) else column for column in columns]
    is_drawn = file.isatty()
    texts = [[_shown(file, cell[is_drawn] if isinstance(cell, TwoForms) else cell) for cell in row] for row in rows]
    if is_drawn:
        _print_drawn(file, whole, texts, width or _width_of(file))
    else:
        _print_plain(file, whole, texts)


def _print_plain(file: TextIO, columns: Sequence[Column], texts: Sequence[Sequence[str]]) -> None:
    names = [column.name for column in columns]
    widths = [max(map(len, column)) for column in zip(names, *texts, strict=True)]
    for row in (names, *texts):
        _write(file, [cell.ljust(width) for cell, width in zip(row, widths, strict=True)])


def _print_drawn(file: TextIO, columns: Sequence[Column], texts: Sequence[Sequence[str]], room: int) -> None:
    headers = [column.header for column in columns]
    natural = [max(map(_length, column)) for column in zip(headers, *texts, strict=True)]
    widths = fit(columns, natural, room)
    shown = list(widths)
    mark = shown_as(SHORTENED, file.encoding)
    _write(file, [_padded(headers[index], widths[index], right=columns[index].right) for index in shown])
    _write(file, [shown_as("─", file.encoding) * widths[index] for index in shown])
    for row in texts:
        cells = [_lines(row[index], widths[index], columns[index].cut, mark) for index in shown]
        for number in range(max(map(len, cells))):
            line = [cell[number] if number < len(cell) else "" for cell in cells]
            aligned = (_padded(text, widths[i], right=columns[i].right) for text, i in zip(line, shown, strict=True))
            _write(file, list(aligned))


def _shown(file: TextIO, cell: object) -> str:
    """Return a cell's text as this output shows it, which is what has to be measured."""
    return shown_as(clean(cell), file.encoding)


def _write(file: TextIO, cells: Sequence[str]) -> None:
    file.write(_GAP.join(cells).rstrip() + "\n")


def _padded(text: str, width: int, *, right: bool) -> str:
    padding = " " * (width - _length(text))
    return padding + text if right else text + padding


def fit(columns: Sequence[Column], natural: Sequence[int], room: int) -> dict[int, int]:
    """Return the widths of the columns that are shown, by their place; more than `room` if nothing can give way."""
    widths = dict(enumerate(natural))

    def excess() -> int:
        return sum(widths.values()) + len(_GAP) * (len(widths) - 1) - room

    for index, least in _turns(columns):
        if (over := excess()) <= 0:
            break
        if not least:
            widths.pop(index)
        elif index in widths:
            widths[index] = min(widths[index], max(widths[index] - over, least, len(columns[index].header)))
    _give_back(columns, natural, widths, -excess())
    return widths


def _turns(columns: Sequence[Column]) -> list[tuple[int, int]]:
    """Return which columns give way, in order, and how narrow they may become; 0 for one that is left out."""
    turns = [(turn, index, least) for index, column in enumerate(columns) for turn, least in column.shrink]
    turns += [(column.drop, index, 0) for index, column in enumerate(columns) if column.drop]
    return [(index, least) for _, index, least in sorted(turns)]


def _give_back(columns: Sequence[Column], natural: Sequence[int], widths: dict[int, int], spare: int) -> None:
    """Share out what leaving columns out has freed, as each needs; sentences come first until they can be read."""
    for _ in range(spare):
        wanting = [index for index in widths if widths[index] < natural[index]]
        if not wanting:
            break
        widths[max(wanting, key=lambda i: (columns[i].rest and widths[i] < _ENOUGH, natural[i] / widths[i]))] += 1


def _width_of(file: TextIO) -> int:
    if (given := os.environ.get("COLUMNS", "")).isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(file.fileno()).columns or _USUAL_WIDTH
    except (OSError, ValueError):
        return _USUAL_WIDTH


def _lines(text: str, width: int, cut: Cut, mark: str) -> list[str]:
    """Return a cell's text in lines of this width: one, unless it is wrapped; `mark` stands for what is cut out."""
    if _length(text) <= width:
        return [text]
    if cut == "wrap":
        return textwrap.wrap(text, width, break_on_hyphens=False)
    return [_CUTS[cut](text, width - len(mark), mark)]


def _head(text: str, room: int) -> str:
    text = text[:room]
    while _length(text) > room:
        text = text[:-1]
    return text


_CUTS: dict[str, Callable[[str, int, str], str]] = {
    "middle": lambda text, room, mark: _head(text, room - room // 2) + mark + _head(text[::-1], room // 2)[::-1],
    "end": lambda text, room, mark: _head(text, room).rstrip() + mark,
}


def _length(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return len(text) if text.isascii() else cell_len(text)
