"""Settings are looked for in the working folder, too: each test has one of its own."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run where nobody has made settings."""
    monkeypatch.chdir(tmp_path)
