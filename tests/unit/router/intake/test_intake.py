"""What stands between a request and the store, before the store is known to be one that is used."""

import asyncio
from pathlib import Path
from typing import Any

from support.spools import MemoryStore, append, entry
from support.waiting import eventually

from config.settings import IngressSettings, Settings
from router.intake.intake import Intake


class Guard:
    """Says whether the store was judged."""

    error = ConnectionError("it is away")

    def __init__(self, *, settled: bool) -> None:
        self._event = asyncio.Event()
        if settled:
            self.settle()

    def settle(self) -> None:
        """Judge it."""
        self._event.set()

    @property
    def is_settled(self) -> bool:
        """Say whether it is."""
        return self._event.is_set()

    async def settled(self) -> None:
        """Wait until it is."""
        await self._event.wait()


def opened(folder: Path, store: Any, guard: Any, **ingress: Any) -> Any:
    """Open an intake on a store that works."""
    return Intake.open(Settings(data_dir=folder, ingress=IngressSettings(**ingress)), store, guard)


async def test_a_store_that_is_not_judged_gets_nothing(tmp_path: Path) -> None:
    """A store that was away at the start may be one that is refused: until that is known all is spooled."""
    store, guard = MemoryStore(), Guard(settled=False)
    async with opened(tmp_path, store, guard) as intake:
        assert await append(intake.appender, [entry("a"), entry("b")]) == [True, True]
        assert (intake.spool.entries, store.trips) == (2, 0)
        assert intake.spool.store.reason == "ConnectionError: it is away"
        guard.settle()
        await eventually(lambda: not intake.spool.entries)
        assert store.appended == ["p/first:a", "p/first:b"]
        await eventually(lambda: not intake.spool.store.is_away)
        await append(intake.appender, [entry("c")])
        assert store.appended[2:] == ["p/first:c"]


async def test_what_a_refused_store_did_not_get_stays_in_the_spool(tmp_path: Path) -> None:
    """A process that stops because of its store sends it nothing on the way, and leaves its spool to the next one."""
    store = MemoryStore()
    async with opened(tmp_path, store, Guard(settled=False)) as intake:
        await append(intake.appender, [entry("a")])
        await intake.finish(5)
    assert store.trips == 0
    async with opened(tmp_path, store, Guard(settled=True)):
        await eventually(lambda: store.appended == ["p/first:a"])


async def test_a_store_that_is_judged_gets_all_at_once(tmp_path: Path) -> None:
    """At an ordinary start nothing goes by way of the disk."""
    store = MemoryStore()
    async with opened(tmp_path, store, Guard(settled=True)) as intake:
        await append(intake.appender, [entry("a")])
        assert (store.appended, intake.spool.store.reason) == (["p/first:a"], "")


async def test_without_a_spool_the_store_is_tried(tmp_path: Path) -> None:
    """Where there is no other place for them, events go to a store that was not judged yet rather than nowhere."""
    store = MemoryStore()
    async with opened(tmp_path, store, Guard(settled=False), spool_max_bytes=0) as intake:
        assert await append(intake.appender, [entry("a")]) == [True]
        assert store.appended == ["p/first:a"]
