"""What is an incident besides silence: subscriptions that finish nothing, dead letters, quotas, spools, refusals."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_group, put_limit, raw_of
from support.silence import small
from support.stores import fake_store

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.health.judgement import Server
from router.store.watched.traffic import Refused, Spooled, note
from workers.incidents import Incident
from workers.operations.figures import Figures, figures
from workers.operations.pauses import pause
from workers.silence.checks import Checks
from workers.silence.notebook import Kept

MINUTE = 60_000
SLOTS = "0" * 12


class Looking:
    """Looks again and again, as the watcher does; `ahead` is how far its clock is ahead of the store's, seconds."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.store, self.catalogue = store, catalogue
        self.ahead = 0.0
        self.checks = Checks(store, small(catalogue), Settings(), lambda: time.time() + self.ahead)
        self.kept = Kept(0)
        self.last: list[Incident] = []
        self.rounds = 0

    async def found(self) -> list[tuple[str, str]]:
        """Return kinds and subjects of what is so."""
        self.rounds += 1
        self.last = await self.checks.found(self.kept, self.last, (self.rounds, 0))
        return [(one.kind, one.subject) for one in self.last]

    async def put(self, minutes: int, event_id: str = "a") -> None:
        """Have an event come that many minutes ago."""
        fields = {"id": event_id, "at": 1, "raw": raw_of(event_id)}
        at = int(time.time() * 1000) - minutes * MINUTE
        await self.store.client.xadd(self.store.keys.events(CUSTOMERS), fields, id=f"{at}-*")

    async def works(self, name: str = "sync") -> None:
        """Have a worker give a sign of life."""
        await self.store.call(scripts.beat(self.store.keys.consumers(name), "w1", 60_000))


@pytest.fixture
async def looking(catalogue: Catalogue) -> AsyncIterator[Looking]:
    """Yield what looks at the fake store."""
    async with fake_store() as store:
        yield Looking(store, catalogue)


async def test_an_idle_system_is_left_alone(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing comes and nothing waits, all streams are looked at now and then; once something comes, at once."""
    await put_group(looking.store, "sync")
    looks = 0

    async def counted(*given: Any) -> Figures:
        nonlocal looks
        looks += 1
        return await figures(*given)

    monkeypatch.setattr("workers.silence.checks.figures", counted)
    for _ in range(15):
        await looking.checks.found(looking.kept, [], (1, 0))
        looking.ahead += 60
    assert looks == 1
    looking.ahead += 60
    await looking.checks.found(looking.kept, [], (1, 0))
    assert looks == 2
    await looking.checks.found(looking.kept, [], (1, 1))
    assert looks == 3


async def test_nothing_is_wrong(looking: Looking) -> None:
    """A system in which nothing waits has no incident."""
    await put_group(looking.store, "sync")
    assert [await looking.found() for _ in range(2)] == [[], []]


async def test_nobody_works_for_a_moment(looking: Looking) -> None:
    """Events that wait while a worker is started again are none."""
    await put_group(looking.store, "sync")
    await looking.put(minutes=4)
    assert await looking.found() == []


@pytest.mark.parametrize("works", [False, True])
async def test_nobody_works(looking: Looking, *, works: bool) -> None:
    """Events that wait while no worker lives are an incident after some minutes; while one does, they are not."""
    await looking.put(minutes=6)
    await put_group(looking.store, "sync")
    if works:
        await looking.works()
    assert await looking.found() == ([] if works else [("idle", "sync")])
    assert works or "Nobody works for sync" in looking.last[0].what


async def test_a_worker_that_finishes_nothing(looking: Looking) -> None:
    """Events that wait while workers live are one only where between two looks nothing was finished."""
    store, events = looking.store, looking.store.keys.events(CUSTOMERS)
    for number in range(3):
        await looking.put(minutes=20 - number, event_id=f"e{number}")
    await put_group(store, "sync")
    await looking.works()
    assert await looking.found() == []  # the first look
    await store.client.xreadgroup("sync", "w1", {events: ">"}, count=1)
    (held,) = await store.client.xpending_range(events, "sync", "-", "+", 1)
    await store.call(scripts.ack(events, "sync", [held["message_id"]], inbox=False))
    assert await looking.found() == []
    assert await looking.found() == [("idle", "sync")]
    assert "finishes nothing" in looking.last[0].what
    again = Looking(store, looking.catalogue).checks
    assert [one.kind for one in await again.found(looking.kept, looking.last, (0, 0))] == ["idle"]


async def test_a_long_pause(looking: Looking) -> None:
    """A pause is none at first, whatever waits; after a day it is one."""
    await looking.put(minutes=60)
    await put_group(looking.store, "sync")
    await pause(looking.store, "sync", None, by="ann")
    assert await looking.found() == []
    looking.ahead = 86_460
    assert await looking.found() == [("idle", "sync")]
    assert looking.last[0].command == "event-router subscriptions resume sync"


async def test_dead_letters_that_grow(looking: Looking) -> None:
    """Dead letters that were there are none; further ones are, until an hour has passed without another."""
    await put_group(looking.store, "sync")
    await put_dead(looking.store, "old")
    assert await looking.found() == []
    await put_dead(looking.store, "new")
    assert await looking.found() == [("dead", "sync")]
    since = looking.last[0].since
    looking.ahead = 1800
    await put_dead(looking.store, "newer")
    assert await looking.found() == [("dead", "sync")]
    looking.ahead = 3700
    assert await looking.found() == [("dead", "sync")]
    assert looking.last[0].since == since
    looking.ahead = 5500
    assert await looking.found() == []


async def test_a_first_dead_letter_of_a_new_subscription(looking: Looking) -> None:
    """A subscription that was not there at the last look had no dead letters then."""
    assert await looking.found() == []
    await put_group(looking.store, "sync")
    await put_dead(looking.store, "new")
    assert await looking.found() == [("dead", "sync")]


async def test_dead_letters_that_were_purged(looking: Looking) -> None:
    """Where none is left, there is nothing to say."""
    await put_group(looking.store, "sync")
    await looking.found()
    await put_dead(looking.store, "new")
    await looking.found()
    await looking.store.client.delete(looking.store.keys.dead(CUSTOMERS, "sync"))
    assert await looking.found() == []


async def test_a_quota_that_is_spent(looking: Looking) -> None:
    """A quota that is used up is one, named by its limit and its subject, since it was first seen so."""
    await put_limit(looking.store, "crm", "t/7")
    assert await looking.found() == [("quota", "crm/t/7")]
    since = looking.last[0].since
    looking.ahead = 60
    assert await looking.found() == [("quota", "crm/t/7")]
    assert looking.last[0].since == since


async def test_a_server_that_is_nearly_full(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with little room left is one, by its name in a Cluster; one without a limit is none."""
    infos = [{"maxmemory": 100, "used_memory": 81}, {"maxmemory": 100, "used_memory": 79}, {"used_memory": 1}, {}]

    async def servers(*_: object, **__: object) -> list[Server]:
        return [Server(f"n{number}", info) for number, info in enumerate(infos)]

    monkeypatch.setattr("workers.silence.checks.ask_servers", servers)
    assert await looking.found() == [("memory", "n0")]
    since = looking.last[0].since
    looking.ahead = 60
    assert await looking.found() == [("memory", "n0")]
    assert looking.last[0].since == since


async def test_a_spool_that_holds_events(looking: Looking) -> None:
    """What an ingress keeps on its disk is one, as long as it says so; one that has ended says nothing."""
    now = int(time.time() * 1000)
    spooled = Spooled(3, 900, 1000, now - MINUTE, now)
    await looking.store.run(note(looking.store.keys, 1, SLOTS, "ingress-1", spooled, {}, {}))
    assert await looking.found() == [("spool", "ingress-1")]
    assert looking.last[0].since == now - MINUTE
    looking.ahead = 700
    assert await looking.found() == []
    looking.ahead = 0
    await looking.store.run(note(looking.store.keys, 1, SLOTS, "ingress-1", None, {}, {}))
    assert await looking.found() == []


@pytest.mark.parametrize(
    ("requests", "minutes", "ago", "is_one"),
    [(3, 10, 0, True), (2, 10, 0, False), (9, 9, 0, False), (9, 60, 1500, False)],
)
async def test_requests_that_are_refused(
    looking: Looking, requests: int, minutes: int, ago: int, *, is_one: bool
) -> None:
    """So many requests within some time are "all"; fewer, or at once, or long ago, are somebody's try."""
    last = int(time.time() * 1000) - ago * MINUTE
    refused = {
        FINANCIAL: Refused(requests, last - minutes * MINUTE, last, "signature"),
        "stranger": Refused(9, 0, last, "x"),
    }
    await looking.store.run(note(looking.store.keys, 1, SLOTS, "ingress-1", None, {}, refused))
    assert list(await looking.checks.refused()) == [FINANCIAL] * is_one
