"""Commands that pages show exist, with the options that they are shown with."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from router.cli.app import load

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)```(?:sh|console)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
OPERATORS = {"|", "||", "&", "&&", ";", "(", ")", ">", ">>"}


def words_of(text: str) -> list[str]:
    """Return the words of a line as a shell splits it; raises ValueError for one that goes on."""
    read = shlex.shlex(text, posix=True, punctuation_chars=True)
    read.whitespace_split = True
    return list(read)


def lines(block: str) -> Iterator[list[str]]:
    """Yield the words of each line; one that ends in a backslash or within quotes goes on."""
    text = ""
    for line in block.splitlines():
        text = f"{text}{line}\n"
        try:
            yield words_of(text.replace("$ event-router", "event-router"))
        except ValueError:
            continue
        text = ""


def shown(page: Path) -> list[tuple[str, ...]]:
    """Return the words of each command of a page, up to what the shell does with it: `$` is what it puts in."""
    found = (words for _, block in BLOCK.findall(page.read_text(encoding="utf-8")) for words in lines(block))
    ours = (words[1:] for words in found if words[:1] == ["event-router"])
    return [tuple(takewhile(lambda word: word not in OPERATORS, words)) for words in ours]


COMMANDS = sorted({command for page in PAGES for command in shown(page)})


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_that_is_shown_exists(words: tuple[str, ...]) -> None:
    """It takes the arguments and options that a page gives it."""
    name, *rest = words
    command = load(name)
    if rest and hasattr(command, "commands"):
        name, command = rest[0], command.commands[rest[0]]
        rest = rest[1:]
    if rest:
        command.make_context(name, rest)


def test_there_are_some() -> None:
    """The commands are found, so that the test above tries something."""
    assert len(COMMANDS) > 50
