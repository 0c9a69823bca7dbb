"""The lines of one subscription for a test, at a time that the test sets."""

import pytest
from support.lines.place import MakeLines, Place

from router.store.client import Store
from router.store.lines import Merging


@pytest.fixture
def lines(store: Store) -> MakeLines:
    """Return what makes lines, into which `leader` may bring events."""

    async def make(merging: Merging = Merging(), *, per_company: int = 0) -> Place:  # noqa: B008 - a constant
        place = Place(store, merging, per_company=per_company)
        await place.set_clock(place.now)
        assert await place.lead("leader")
        return place

    return make
