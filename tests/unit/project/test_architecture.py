"""The walks of docs/architecture.md lead through functions that are there, and through few files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.import_graph import DOCUMENT

ROOT = DOCUMENT.parents[1]
TITLES = {
    "From a request to its stream": 10,
    "From an entry to a handler, and settled": 13,
    "From a dead letter back to its handler": 22,
}
"""The walks, and how many files each may cross."""

_FUNCTION = re.compile(r"`((?:\w+\.)?\w+)`\s+(?:in\s+|\()`((?:router|workers|config)/[\w/]+\.py)`")
_FILE = re.compile(r"`((?:router|workers|config)/[\w/]+\.(?:py|lua))`")
_NAME = re.compile(r"`([A-Z]\w+\.\w+)`")


class Walk(NamedTuple):
    """One walk: its text, the functions it names with their files, and every file it names."""

    text: str
    functions: list[tuple[str, str]]
    files: list[str]


def walk(title: str) -> Walk:
    """Return what a walk says."""
    text = DOCUMENT.read_text(encoding="utf-8").partition(f"### {title}\n")[2]
    text = re.split(r"^##", text, maxsplit=1, flags=re.MULTILINE)[0]
    return Walk(text, _FUNCTION.findall(text), list(dict.fromkeys(_FILE.findall(text))))


def defined(path: Path) -> Iterator[str]:
    """Yield the functions, classes and methods of a file, a method as `Class.method`."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{part.name}"


@pytest.mark.parametrize("title", TITLES)
def test_each_function_of_a_walk_is_where_it_is_said_to_be(title: str) -> None:
    """Each function that a walk names with a file is defined there, and each file exists."""
    found = walk(title)
    assert len(found.functions) > 4
    for name, path in found.functions:
        assert name in set(defined(ROOT / path)), f"{name} is not in {path}"
    for path in found.files:
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("title", TITLES)
def test_each_method_of_a_walk_exists(title: str) -> None:
    """A method that is named without a file is in one of the files of the same walk."""
    found = walk(title)
    known = {name for path in found.files if path.endswith(".py") for name in defined(ROOT / path)}
    for name in _NAME.findall(found.text):
        assert name in known, name


@pytest.mark.parametrize("title", TITLES)
def test_a_walk_crosses_few_files(title: str) -> None:
    """A reader opens at most two thirds of the files that the walk crossed when all modules lay in two folders."""
    assert len(walk(title).files) <= TITLES[title]
