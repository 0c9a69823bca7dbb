"""Plain words: what the product says is subject, verb and object, and names who does it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import config
from router.cli import streams
from router.cli.app import load
from workers.state.overview import HEADINGS

ROOT = Path(config.__file__).parents[1]

INSTEAD = {
    r"told": "say who shows, reports, logs or is configured",
    r"meant": "selected, expected, due",
    r"lest": "so that … not",
    r"but for": "except",
    r"whoever": "anyone who, a process that: the actor",
    r"needs? nobody": "is automatic",
    r"as a rule": "mostly",
    r"slip of the pen": "a typo",
    r"has it not": "does not have it",
    r"(?:are|is) let be": "is ignored",
    r"is but": "is only",
    r"there (?:is|are) none of": "unknown, missing",
    r"seen through": "finished",
    r"at the most": "at most",
    r"unasked": "by itself",
    r"(?:by|needs?|needed) (?:a )?hand": "manually",
    r"of its own accord": "by itself",
    r"anew": "again",
    r"as of": "as in, as under, since",
    r"for certain": "always, surely, reliably",
    r"whomever": "any sender, any process: the actor",
    r"to be had": "available",
    r"as they please": "as they are configured to",
}
"""Words that readers stumble over, and what to write instead."""

_FORBIDDEN = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)
_KINDS = {".py", ".lua", ".toml", ".html", ".js", ".css", ".md", ".yml", ".yaml"}
PLACES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs",
    "config",
    "router",
    "workers",
    "deploy",
    "compose.yaml",
)


def files(place: str) -> Iterator[Path]:
    """Yield the files of a place that a person reads."""
    path = ROOT / place
    yield from (path,) if path.is_file() else sorted(found for found in path.rglob("*") if found.suffix in _KINDS)


def found_in(text: str) -> list[str]:
    """Return what is not plain in a text, each with what to write instead; a line break counts as a space."""
    text = re.sub(r"\s*\n\s*(?:(?:#|//|--)\s)?\s*", " ", text)
    return [f"{word!r}: {_advice(word)}" for word in _FORBIDDEN.findall(text)]


def _advice(word: str) -> str:
    return next(advice for pattern, advice in INSTEAD.items() if re.fullmatch(pattern, word, re.IGNORECASE))


@pytest.mark.parametrize("place", PLACES)
def test_words_are_plain(place: str) -> None:
    """No page, message, log line, comment or docstring uses a word that hides who does what."""
    known = list(files(place))
    assert known
    for path in known:
        found = found_in(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found}"


@pytest.mark.parametrize("text", ["It was told.", "all but\n    # for one", "Whoever asks", "WAIT AT THE MOST"])
def test_words_are_found(text: str) -> None:
    """A word is found whatever its case, and over the end of a line or of a comment's line."""
    assert len(found_in(text)) == 1


@pytest.mark.parametrize("text", ["atoll, toldo", "the least", "meaning", "but forty", "self._told", "told_signature"])
def test_parts_of_words_are_no_words(text: str) -> None:
    """What only contains such a word, and what merely names a thing in code, is let pass."""
    assert not found_in(text)


def test_one_set_of_words_for_the_figures() -> None:
    """Commands, console, dashboard, metrics and pages call the figures lag, in hand, scheduled and dead."""
    places = {
        "streams": (load("streams").help, *(column.name for column in streams._COLUMNS)),
        "subscriptions list": (load("subscriptions").commands["list"].help,),
        "top": (load("top").help,),
        "the console": [(ROOT / "router/console/templates/overview_now.html").read_text()],
        "the dashboard": [(ROOT / "config/grafana/event-router.json").read_text()],
        "the metrics": [(ROOT / "docs/metrics.md").read_text().partition("<!-- store -->")[2]],
        "the concepts": [(ROOT / "docs/concepts.md").read_text()],
    }
    for place, texts in places.items():
        text = " ".join(texts).lower()
        assert all(heading.lower() in text for heading in HEADINGS), place
