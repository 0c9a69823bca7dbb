"""An ERP on a free port."""

from collections.abc import AsyncIterator

import pytest
from support.erp import Clock

from workers.erp.fake import FakeErp, serving


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the ERP and of its clients."""
    return Clock()


@pytest.fixture
async def erp(clock: Clock) -> AsyncIterator[FakeErp]:
    """Yield a fake ERP that serves."""
    async with serving(FakeErp(clock=clock)) as found:
        yield found
