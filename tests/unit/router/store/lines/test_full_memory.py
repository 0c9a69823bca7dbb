"""The lines on a server whose memory is full (`maxmemory`, `noeviction`)."""

from collections.abc import AsyncIterator

import pytest
from support.lines.place import Place, item
from support.stores import real_store, running_server

from router.store.errors import StoreRefused
from router.store.lines import Merging

pytestmark = pytest.mark.real


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """Yield lines with two events of each of five keys, on a server of their own."""
    with running_server() as url:
        async with real_store(url) as store:
            place = Place(store, Merging(), per_company=4)
            await place.set_clock(place.now)
            assert await place.lead("leader")
            await place.add(*(item(b"%d" % (number % 5), place.now, number=number) for number in range(10)))
            yield place


async def fill(place: Place) -> None:
    """Let the server refuse whatever takes memory."""
    await place.store.command("CONFIG", "SET", "maxmemory", 1)


async def test_what_is_in_the_lines_is_handled_while_memory_is_full(place: Place) -> None:
    """Workers claim, renew, try again, give back and end what the lines hold; that frees memory."""
    first, second, third, fourth = (await place.claim("w:1", 4)).claimed
    await fill(place)
    assert await place.extend(first, second, third, fourth) == []
    assert await place.mark(first)
    assert await place.settle(first) == []
    assert await place.back(second)
    assert await place.retry(third, 0)
    assert await place.abandon("w:1") == 1
    ended = 1
    while claimed := (await place.claim(f"w:{ended}:", 2)).claimed:
        assert await place.settle(*claimed) == []
        ended += len(claimed)
    assert ended == 10
    assert (await place.kept()).lines == {}


async def test_operators_let_keys_go_on_and_end_events_while_memory_is_full(place: Place) -> None:
    """Releasing a key, pausing a company and removing a stream need no room."""
    await place.settle((await place.claim("w:1", 1)).one, hold=True)
    await fill(place)
    assert await place.release(b"0") == 1
    await place.stop(b"c", 0)
    await place.resume(b"c")
    assert (await place.call(place.lines.drop("p/t", b"", 100)))[1] == 9
    assert (await place.kept()).lines == {}


async def test_nothing_more_is_brought_while_memory_is_full(place: Place) -> None:
    """What takes memory is refused, and was not brought: it comes once there is room."""
    late = item(b"late", place.now, number=99)
    await fill(place)
    with pytest.raises(StoreRefused):
        await place.add(late)
    await place.store.command("CONFIG", "SET", "maxmemory", 0)
    assert await place.add(late) == 1
