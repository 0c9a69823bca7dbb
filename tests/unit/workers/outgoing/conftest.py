"""What the tests of outgoing requests share."""

import time

import pytest


@pytest.fixture
def now() -> int:
    """Return the seconds since 1970: the library of Standard Webhooks takes no clock."""
    return int(time.time())
