"""Which tests of forwards run on a real server in `make test`: those whose rule leans on what the store does."""

from pathlib import Path

import pytest

ON_A_SERVER = {"test_an_event_is_posted_and_done", "test_gone", "test_a_limit", "test_merged", "test_order"}
FILES = {Path(__file__).with_name(f"test_{name}.py") for name in ("forward", "forwards")}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the others as long on a real server: they prove there once more what they prove on the fake one."""
    for item in items:
        name = getattr(item, "originalname", item.name)
        if item.path in FILES and item.get_closest_marker("real") and name not in ON_A_SERVER:
            item.add_marker(pytest.mark.long)
