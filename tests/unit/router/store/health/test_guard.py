"""What a process does about an unsafe store: at its start, when the store comes back, and while it runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs
from support.servers import Server
from support.stores import fake_store, real_store
from support.waiting import eventually

import router.store.health.guard
from config.errors import ConfigError
from config.settings import RedisSettings, Settings
from router.store.client import Store, connect
from router.store.errors import StoreUnavailable
from router.store.health.guard import StoreGuard, guarded, refuse_unsafe
from router.store.keys import Keys

pytestmark = pytest.mark.real

SAFE = ("--maxmemory", "200mb")
EVICTING = (*SAFE, "--maxmemory-policy", "allkeys-lru")
SOON = 0.01


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a server that does not run yet."""
    server = Server(tmp_path / "server")
    yield server
    server.kill()


class Process:
    """Stands for a process: its store, its settings, and what tells it to stop."""

    def __init__(self, server: Server, **redis: Any) -> None:
        self.settings = Settings(redis=RedisSettings(**{"url": server.url, **redis}))
        self.store = connect(self.settings.redis.url, Keys("x"), connect_timeout=1, timeout=1)
        self.stop = asyncio.Event()

    @asynccontextmanager
    async def running(self, *, interval: float = 60.0) -> AsyncIterator[StoreGuard]:
        """Run, and close the store in the end."""
        try:
            async with guarded(self.store, self.settings, self.stop, interval=interval) as guard:
                yield guard
        finally:
            await self.store.aclose()

    async def run(self) -> StoreGuard:
        """Start and end."""
        async with self.running() as guard:
            return guard


def start(server: Server, *options: str) -> None:
    """Start a server with these options, and with none of those it had."""
    server.options = list(options)
    server.start()


def said(logged: list[MutableMapping[str, Any]], event: str) -> list[tuple[str, str]]:
    """Return level and check of what was logged."""
    return [(line["log_level"], line.get("check", "")) for line in logged if line["event"] == event]


async def looks(guard: StoreGuard, monkeypatch: pytest.MonkeyPatch, number: int = 2) -> None:
    """Return after so many further looks."""
    count = 0
    take = guard._take

    def counted(checks: Any) -> None:
        nonlocal count
        take(checks)
        count += 1

    monkeypatch.setattr(guard, "_take", counted)
    await eventually(lambda: count >= number)


# At the start


async def test_a_safe_store_is_no_news(server: Server) -> None:
    """A store that is as it has to be is not spoken of."""
    start(server, *SAFE)
    with capture_logs() as logged:
        guard = await Process(server).run()
    assert logged == []
    assert guard.warnings() == {}


async def test_an_evicting_store_is_refused(server: Server) -> None:
    """The start ends with an error that names the store, the fault, and both ways out; no password is shown."""
    start(server, *EVICTING)
    server.ask("ACL", "SETUSER", "me", "on", ">hidden", "+@all", "~*")
    process = Process(server, url=server.url.replace("://", "://me:hidden@"))
    with pytest.raises(ConfigError) as caught:
        await process.run()
    for words in (str(server.port), "allkeys-lru", "maxmemory-policy noeviction", "redis.allow_eviction"):
        assert words in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_an_allowed_eviction_is_loud_at_every_start(server: Server) -> None:
    """With `redis.allow_eviction` the process runs, and each start warns."""
    start(server, *EVICTING)
    for _ in range(2):
        with capture_logs() as logged:
            guard = await Process(server, allow_eviction=True).run()
        assert said(logged, "store_unsafe") == [("warning", "eviction policy")]
        assert "eviction policy" in guard.warnings()


async def test_a_store_without_a_log_is_loud_at_every_start(server: Server) -> None:
    """Without the append-only file it runs, and each start says what is lost when."""
    start(server, *SAFE, "--appendonly", "no")
    for _ in range(2):
        with capture_logs() as logged:
            await Process(server).run()
        assert said(logged, "store_unsafe") == [("warning", "append-only file")]
        assert "lost" in logged[0]["found"]
        assert "appendonly yes" in logged[0]["advice"]


@pytest.mark.parametrize("limit", ["0", "900kb"])
async def test_a_memory_limit_that_is_missing_or_near(server: Server, limit: str) -> None:
    """No limit, or one that is nearly reached, is warned of."""
    start(server, "--maxmemory", limit)
    with capture_logs() as logged:
        await Process(server).run()
    assert said(logged, "store_unsafe") == [("warning", "memory")]


async def test_a_replica_is_warned_of(server: Server) -> None:
    """A replica is not refused, since a failover may be about to make it the master."""
    start(server, *SAFE, "--replicaof", "127.0.0.1", "1")
    with capture_logs() as logged:
        await Process(server).run()
    assert said(logged, "store_unsafe") == [("warning", "server role")]


async def test_a_store_that_may_not_tell() -> None:
    """A user without INFO is warned, and runs."""
    stop = asyncio.Event()
    async with fake_store() as store:
        with capture_logs() as logged:
            async with guarded(store, Settings(), stop):
                assert not stop.is_set()
    assert said(logged, "store_unsafe") == [("warning", "server settings")]


# The store is away


async def test_a_store_that_is_away_is_judged_when_it_is_there(server: Server) -> None:
    """A start without the store goes on; a refusal that comes with it stops the process, with the same error."""
    process = Process(server)

    async def run() -> None:
        async with process.running() as guard:
            assert guard.warnings() == {}
            assert not process.stop.is_set()
            start(server, *EVICTING)
            await asyncio.wait_for(process.stop.wait(), 30)
            assert not guard.is_settled  # so nothing was sent to it
            assert isinstance(guard.error, StoreUnavailable)

    with capture_logs() as logged, pytest.raises(ConfigError, match="allkeys-lru"):
        await run()
    assert said(logged, "store_not_checked") == [("warning", "")]  # once, however often it was tried
    assert said(logged, "store_refused") == [("error", "")]


async def test_a_safe_store_that_was_away_is_taken(server: Server) -> None:
    """A store that comes later is judged like one that is there: its warnings are said, the process goes on."""
    process = Process(server)
    async with process.running() as guard:
        start(server, *SAFE, "--appendonly", "no")
        await eventually(lambda: "append-only file" in guard.warnings())
        assert not process.stop.is_set()


async def test_a_store_that_hangs_holds_up_no_start(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes a connection and then says nothing is waited for a moment only, and judged when it speaks."""
    monkeypatch.setattr(router.store.health.guard, "_PATIENCE", 0.05)
    start(server, *SAFE, "--appendonly", "no")
    server.freeze()
    process = Process(server)
    async with process.running() as guard:
        assert guard.warnings() == {}
        server.thaw()
        await eventually(lambda: "append-only file" in guard.warnings())


# While it runs


async def test_a_store_that_turns_unsafe_stops_nobody(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that runs goes on: the fault is an error in the log, once, and shown until it is mended."""
    start(server, *SAFE)
    process = Process(server)
    with capture_logs() as logged:
        async with process.running(interval=SOON) as guard:
            server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            await eventually(lambda: "eviction policy" in guard.warnings())
            await looks(guard, monkeypatch)
            assert {"eviction policy": 2.0, "memory": 0.0}.items() <= metrics(guard).items()
            server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
            await eventually(lambda: not guard.warnings())
            assert metrics(guard)["eviction policy"] == 0.0
            assert not process.stop.is_set()
    assert said(logged, "store_unsafe") == [("error", "eviction policy")]
    assert said(logged, "store_safe_again") == [("info", "eviction policy")]


async def test_another_server_that_comes_back_is_judged(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage the store is judged anew, since another server may have taken over, and stops nobody."""
    start(server, *SAFE)
    process = Process(server)
    with capture_logs() as logged:
        async with process.running(interval=SOON) as guard:
            server.kill()
            await eventually(lambda: said(logged, "store_not_checked"))
            start(server, *EVICTING)
            await eventually(lambda: "eviction policy" in guard.warnings())
            assert not process.stop.is_set()
    assert ("error", "eviction policy") in said(logged, "store_unsafe")


async def test_a_store_that_is_safe_is_asked_seldom(server: Server) -> None:
    """Looking costs one command, and then none until the interval is over."""
    start(server, *SAFE)
    process = Process(server)
    async with process.running():
        stats = server.ask("INFO", "commandstats")
        assert stats["cmdstat_info"]["calls"] == 1
        assert "cmdstat_command|info" not in stats


async def test_a_check_that_breaks_breaks_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the checks is logged with its traceback; what they guard runs on, and they are tried again."""
    start(server, *SAFE)

    def broken(*_: object) -> None:
        raise KeyError("x")

    process = Process(server)
    with monkeypatch.context() as patch, capture_logs() as logged:
        patch.setattr(router.store.health.guard, "judge_server", broken)
        async with process.running(interval=SOON) as guard:
            await eventually(lambda: len(said(logged, "store_check_failed")) > 1)
            assert guard.is_settled
            assert not process.stop.is_set()
    assert logged[0]["exc_info"]


async def test_what_the_process_fails_with_comes_first(server: Server) -> None:
    """An error of the process itself is not hidden by what the guard has to say."""
    process = Process(server)

    async def run() -> None:
        async with process.running():
            start(server, *EVICTING)
            await asyncio.wait_for(process.stop.wait(), 30)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await run()


@pytest.mark.cluster
async def test_one_evicting_server_of_a_cluster_is_enough(cluster_url: str) -> None:
    """Every master of a Cluster is judged, and the one that is refused is named."""
    async with real_store(cluster_url) as store:
        name = await set_policy(store, "allkeys-lru")
        try:
            with pytest.raises(ConfigError, match=f"eviction policy of {name} allkeys-lru"):
                async with guarded(store, Settings(redis=RedisSettings(url=cluster_url)), asyncio.Event()):
                    pass
        finally:
            await set_policy(store, "noeviction")


@pytest.mark.parametrize("cluster", [True, False])
async def test_a_cluster_that_lacks_a_server_is_used(
    server: Server, monkeypatch: pytest.MonkeyPatch, *, cluster: bool
) -> None:
    """One server of a Cluster that does not answer keeps nobody from the others; elsewhere there are no others."""

    async def away(*_: object, **__: object) -> None:
        raise RedisConnectionError("one of them is away")

    monkeypatch.setattr(router.store.health.guard, "ask_servers", away)
    process = Process(server)
    process.store.cluster = cluster
    async with process.running() as guard:
        assert guard.is_settled is cluster


async def test_who_starts_others_judges_the_store_for_them(server: Server) -> None:
    """It is refused the same stores, for the same reason; one that is away is left to be judged later."""
    process = Process(server)
    await refuse_unsafe(process.store, process.settings)
    start(server, *EVICTING)
    with pytest.raises(ConfigError, match="allkeys-lru"):
        await refuse_unsafe(process.store, process.settings)
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await refuse_unsafe(process.store, process.settings)
    await process.store.aclose()


async def set_policy(store: Store, policy: str) -> str:
    """Set the eviction policy of one master of a Cluster; return its name."""
    assert isinstance(store.client, RedisCluster)
    await store.client.initialize()
    node = min(store.client.get_primaries(), key=lambda node: int(node.port))
    await store.client.execute_command("CONFIG SET", "maxmemory-policy", policy, target_nodes=node)
    return str(node.name)


def metrics(guard: StoreGuard) -> dict[str, float]:
    """Return the guard's metric by check."""
    [family] = guard.collect()
    return {sample.labels["check"]: sample.value for sample in family.samples}
