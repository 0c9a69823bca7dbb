"""What all tests of keyed subscriptions have in common."""

import pytest

from workers.keyed import mover


@pytest.fixture(autouse=True)
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker that brings events look for other streams twice a second, where it looks every 15 s."""
    monkeypatch.setattr(mover, "_LONGEST", 0.5)
