"""Searches of the console: a page takes no longer than it may, few search at once, and none for nobody."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.console import Visitor, visiting
from support.filling import put_dead, put_group
from support.stores import fake_store
from support.waiting import eventually

from router.console import paging
from router.console.paging import Cursor, taken
from router.console.turns import Turns
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.letters import DeadLetters
from workers.operations.dead_letters.selector import Selector


@pytest.fixture
async def visitor(catalogue: Catalogue) -> AsyncIterator[Visitor]:
    """Yield somebody who is signed in."""
    async with fake_store() as store, visiting(store, catalogue) as found:
        yield found


class Endless:
    """Searches that find nothing and do not end by themselves; counts how many run, and the most at once."""

    def __init__(self) -> None:
        self.running = self.most = 0

    async def newest(self, *_: Any) -> AsyncIterator[str]:
        """Search until it is ended."""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            self.running -= 1


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Endless:
    """Replace what the pages search by."""
    found = Endless()
    monkeypatch.setattr(DeadLetters, "newest", found.newest)
    return found


async def test_a_search_ends_with_its_reader(visitor: Visitor, endless: Endless) -> None:
    """Whoever closes the page leaves no search behind, however long that might have gone on."""
    (cookie,) = visitor.client.cookie_jar
    head = f"GET /dead-letters?text=x HTTP/1.1\r\nHost: x:{visitor.origin.rpartition(':')[2]}\r\n"
    for leaves in ("half", "whole"):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(visitor.origin.rpartition(":")[2]))
        writer.write(f"{head}Cookie: {cookie.key}={cookie.value}\r\n\r\n".encode())
        await eventually(lambda: endless.running == 1)
        if leaves == "half":
            writer.write_eof()
            await eventually(lambda: endless.running == 0)
            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()
        await eventually(lambda: endless.running == 0)


async def test_few_search_at_once(visitor: Visitor, endless: Endless, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few have their turn at once, others are asked to come again; pages without a search go on."""
    object.__setattr__(visitor.console, "turns", Turns(at_once=2, patience=0.05))
    monkeypatch.setattr(paging, "_PATIENCE", 0.5)

    async def search() -> int:
        async with visitor.client.get("/dead-letters?text=x") as response:
            assert response.status == 200 or response.headers["Retry-After"]
            return response.status

    searches = [asyncio.create_task(search()) for _ in range(6)]
    await eventually(lambda: endless.running == 2)
    await visitor.get("/subscriptions")
    assert sorted(await asyncio.gather(*searches)) == [200, 200, 503, 503, 503, 503]
    assert (endless.most, endless.running) == (2, 0)


async def test_a_search_that_never_gives_way_is_ended_too() -> None:
    """The clock is looked at between items, for a source that lets nothing else run."""

    async def always() -> AsyncIterator[str]:
        while True:
            yield "1-1"

    began = time.monotonic()
    cursor = Cursor("1-0", 0)  # everything is newer: nothing is ever on the page
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "_PATIENCE", 0.05)
        assert (await taken(always(), cursor, str)).given_up
    assert time.monotonic() - began < 5


async def test_a_search_for_what_is_not_there_ends_in_time(
    store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page whose search finds nothing, however much there is, says that it was ended, whenever the time is up."""
    await put_group(store, "sync")
    for number in range(200):
        await put_dead(store, f"id-{number}")
    newest = DeadLetters.newest

    async def without_end(letters: DeadLetters, selector: Selector) -> AsyncIterator[DeadLetterEntry]:
        while True:
            async for letter in newest(letters, selector):
                yield letter

    monkeypatch.setattr(DeadLetters, "newest", without_end)
    async with visiting(store, catalogue) as visitor:
        for number in range(8):
            monkeypatch.setattr(paging, "_PATIENCE", 0.01 + number * 0.002)
            async with asyncio.timeout(10):
                page = await visitor.get("/dead-letters", text="nowhere")
            assert "took too long" in page
            assert "No dead letter matches" not in page
