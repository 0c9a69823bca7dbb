"""The threat model names a test for each defence, and each of them exists."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
DOCUMENT = (TESTS.parent / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/\S+\.py)::(test_\w+)`")
THREATS = re.findall(r"^### (.+?)\n(.*?)(?=^##)", DOCUMENT, re.MULTILINE | re.DOTALL)


def there() -> dict[str, set[str]]:
    """Return the names of all tests, by file."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in TESTS.rglob("test_*.py"):
        found[file.relative_to(TESTS.parent).as_posix()] |= set(
            re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
        )
    return found


def test_every_test_that_is_named_exists() -> None:
    """A test that was renamed or removed is renamed here, or what it proved is proved by another."""
    tests = there()
    assert not [f"{file}::{name}" for file, name in NAMED.findall(DOCUMENT) if name not in tests[file]]
    assert len(NAMED.findall(DOCUMENT)) == DOCUMENT.count("`tests/")  # none is written in a way that is not looked for


@pytest.mark.parametrize(("threat", "text"), THREATS, ids=[threat for threat, _ in THREATS])
def test_every_threat_names_a_test(threat: str, text: str) -> None:
    """A defence that nothing proves is a hope; only backups have none, for they are not made here."""
    assert NAMED.search(text) or threat == "Backups"
