"""What several integration tests ask for: a server of their own."""

from collections.abc import Iterator

import pytest
from support.servers import Server, starting


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a server that a test may stop or kill."""
    with starting() as server:
        yield server
