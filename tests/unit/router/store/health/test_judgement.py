"""What a server must be like: what is refused, what is only said, and that it is said what to do."""

from typing import Any

import pytest

from config.durability import Durability
from config.settings import IngressSettings, RedisSettings, Settings
from router.store.health.judgement import Check, Server, judge_server

_SAFE = {
    "maxmemory_policy": "noeviction",
    "maxmemory": 1_000_000_000,
    "used_memory": 100_000_000,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "role": "master",
    "connected_slaves": 0,
}

SERVERS: dict[str, dict[str, Any]] = {
    "Redis 7.0.15": {**_SAFE, "redis_version": "7.0.15", "redis_mode": "standalone"},
    "Redis 8.0.2": {**_SAFE, "redis_version": "8.0.2", "redis_mode": "standalone"},
    "Valkey 8.1.1": {**_SAFE, "redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.1"},
    "Valkey 9.1.2": {**_SAFE, "redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"},
}
"""What servers that are set up well say of themselves, each in its own way."""

GOOD = SERVERS["Valkey 9.1.2"]
NAMES = ["server version", "server role", "eviction policy", "append-only file", "memory", "durability"]


def settings(*, durability: str = "written", url: str = "redis://x", allow_eviction: bool = False) -> Settings:
    """Return settings that differ in what the checks look at."""
    wanted = Durability.parse(durability)
    redis = RedisSettings(url=url, allow_eviction=allow_eviction)
    return Settings(redis=redis, ingress=IngressSettings(durability=wanted))


def judge(
    info: dict[str, Any], *, waitaof: bool | None = None, appendfsync: str = "always", **values: Any
) -> dict[str, Check]:
    """Return the checks of a server by their names."""
    return {
        check.name: check
        for check in judge_server(Server("", info, waitaof, appendfsync=appendfsync), settings(**values))
    }


def wrong(checks: dict[str, Check]) -> dict[str, tuple[str, bool]]:
    """Return state and refusal of the checks that are not ok; each of them must have an advice."""
    found = {name: check for name, check in checks.items() if check.state != "ok"}
    assert all(check.advice for check in found.values())
    return {name: (check.state, check.refused) for name, check in found.items()}


@pytest.mark.parametrize("server", SERVERS)
def test_a_good_server(server: str) -> None:
    """A server that is as it has to be passes all checks, and none has an advice."""
    checks = judge(SERVERS[server])
    assert list(checks) == NAMES
    assert wrong(checks) == {}
    assert not any(check.advice for check in checks.values())
    assert checks["server version"].detail == server


@pytest.mark.parametrize(
    ("change", "name", "state", "refused"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "eviction policy", "failed", True),
        ({"maxmemory_policy": "volatile-ttl"}, "eviction policy", "failed", True),
        ({"aof_enabled": 0}, "append-only file", "failed", False),
        ({"aof_last_write_status": "err"}, "append-only file", "failed", False),
        ({"maxmemory": 0}, "memory", "warning", False),
        ({"used_memory": 800_000_001}, "memory", "warning", False),
        ({"role": "slave", "master_host": "m", "master_port": 1}, "server role", "failed", False),
    ],
)
@pytest.mark.parametrize("server", SERVERS)
def test_a_bad_server(server: str, change: dict[str, Any], name: str, state: str, refused: bool) -> None:  # noqa: FBT001
    """Each fault is found on every server, and only what loses events without a word is refused."""
    assert wrong(judge({**SERVERS[server], **change})) == {name: (state, refused)}


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        ({"redis_version": "6.2.14"}, True),
        ({"redis_version": "7.0.0"}, False),
        ({"redis_version": "10.0.0"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.11"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.0"}, False),
    ],
)
def test_old_servers_are_refused(version: dict[str, str], refused: bool) -> None:  # noqa: FBT001
    """Redis 7.0 and Valkey 8.0 are the oldest; Valkey goes by its own version, since the other one never changes."""
    assert wrong(judge({**_SAFE, **version})) == ({"server version": ("failed", True)} if refused else {})


@pytest.mark.parametrize("missing", ["redis_version", "maxmemory_policy"])
def test_what_is_not_known_is_not_refused(missing: str) -> None:
    """A server that leaves something out may be well, so it is warned of."""
    server = SERVERS["Redis 8.0.2"]
    found = wrong(judge({name: value for name, value in server.items() if name != missing}))
    assert list(found.values()) == [("warning", False)]


def test_a_server_that_says_nothing() -> None:
    """Where INFO is forbidden there is one warning that says so, and no refusal, whatever is wanted."""
    [check] = judge_server(Server(denied="NOPERM no INFO"), settings(durability="fsynced"))
    assert (check.state, check.refused) == ("warning", False)
    assert "NOPERM no INFO" in check.detail
    assert "INFO" in check.advice


def test_eviction_can_be_allowed() -> None:
    """`redis.allow_eviction` turns the refusal into a warning that does not go away."""
    for policy in ("allkeys-lru", "volatile-lru"):
        found = judge({**GOOD, "maxmemory_policy": policy}, allow_eviction=True)
        assert wrong(found) == {"eviction policy": ("warning", False)}
        assert "allow_eviction" in found["eviction policy"].detail
    assert wrong(judge(GOOD, allow_eviction=True)) == {}


def test_what_eviction_costs() -> None:
    """Only the markers of the deduplication have a time to live: a volatile policy takes no events, it doubles them."""

    def detail(policy: str) -> str:
        return judge({**GOOD, "maxmemory_policy": policy})["eviction policy"].detail

    assert "throws events away" in detail("allkeys-lfu")
    assert "twice" in detail("volatile-lfu")


def test_a_replica_is_told_by_its_master() -> None:
    """A replica is said to be one, of whom, and what becomes of writes."""
    replica = {**GOOD, "role": "slave", "master_host": "db", "master_port": 6379, "slave_read_only": 1}
    assert judge(replica)["server role"].detail == "a replica of db:6379, which takes no writes"
    assert "loses" in judge({**replica, "slave_read_only": 0})["server role"].detail


def test_the_embedded_server_needs_no_limit() -> None:
    """The embedded server has the machine's memory."""
    assert wrong(judge({**GOOD, "maxmemory": 0}, url="embedded")) == {}


def test_the_checks_of_a_named_server_bear_its_name() -> None:
    """In a Cluster each check says which server it is about."""
    names = [check.name for check in judge_server(Server("10.0.0.1:7000", GOOD), settings())]
    assert names == [f"{name} of 10.0.0.1:7000" for name in NAMES]


# Durability


@pytest.mark.parametrize(
    ("server", "waitaof", "refused"),
    [
        ("Redis 7.0.15", False, True),
        ("Redis 7.0.15", None, True),
        ("Redis 8.0.2", True, False),
        ("Redis 8.0.2", None, False),
        ("Valkey 8.1.1", None, False),
        ("Valkey 9.1.2", False, True),
    ],
)
def test_fsynced_needs_waitaof(server: str, waitaof: bool | None, refused: bool) -> None:  # noqa: FBT001
    """`fsynced` is refused where WAITAOF is missing; a server that does not tell is judged by its version."""
    found = judge(SERVERS[server], waitaof=waitaof, durability="fsynced")
    assert wrong(found) == ({"durability": ("failed", True)} if refused else {})
    assert ("WAITAOF" in found["durability"].detail) == refused


@pytest.mark.parametrize(
    ("server", "appendfsync", "judgement"),
    [
        ("Redis 8.0.2", "always", None),
        ("Redis 8.0.2", "everysec", ("warning", False)),
        ("Redis 8.0.2", "", ("warning", False)),
        ("Valkey 9.1.2", "always", None),
        ("Valkey 9.1.2", "everysec", ("failed", True)),
        ("Valkey 8.1.1", "no", ("failed", True)),
        ("Valkey 9.1.2", "", ("warning", False)),
    ],
)
def test_fsynced_needs_a_server_that_flushes_before_it_confirms(
    server: str, appendfsync: str, judgement: tuple[str, bool] | None
) -> None:
    """Valkey answers WAITAOF before it has flushed unless it flushes always: refused. On Redis it is merely slow."""
    found = judge(SERVERS[server], waitaof=True, appendfsync=appendfsync, durability="fsynced")
    assert wrong(found) == ({"durability": judgement} if judgement else {})


def test_fsynced_needs_the_append_only_file() -> None:
    """`fsynced` is refused where there is no file to be flushed, and the reason is said."""
    found = judge({**GOOD, "aof_enabled": 0}, waitaof=True, durability="fsynced")
    assert wrong(found)["durability"] == ("failed", True)
    assert "append-only file is off" in found["durability"].detail


_ONLINE = {"ip": "a", "port": 1, "state": "online", "offset": 9, "lag": 0}
_COPYING = {"ip": "b", "port": 1, "state": "wait_bgsave", "offset": 0, "lag": 0, "type": "replica"}


@pytest.mark.parametrize(
    ("replicas", "wanted", "enough"),
    [
        ({"connected_slaves": 0}, 1, False),
        ({"connected_slaves": 1, "slave0": _ONLINE}, 1, True),
        ({"connected_slaves": 1, "slave0": _COPYING}, 1, False),
        ({"connected_slaves": 2, "slave0": _COPYING, "slave1": _ONLINE}, 1, True),
        ({"connected_slaves": 2, "slave0": _COPYING, "slave1": _ONLINE}, 2, False),
        ({"connected_slaves": 2}, 2, True),
    ],
)
def test_replicated_needs_replicas(replicas: dict[str, Any], wanted: int, enough: bool) -> None:  # noqa: FBT001
    """Too few replicas that are in step are said, and never refused: they may come back."""
    found = judge({**GOOD, **replicas}, durability=f"replicated:{wanted}")
    assert wrong(found) == ({} if enough else {"durability": ("failed", False)})


def test_only_what_is_wanted_is_judged() -> None:
    """`written` asks for no WAITAOF and no replica."""
    found = judge(SERVERS["Redis 7.0.15"], waitaof=False)
    assert (found["durability"].state, found["durability"].detail) == ("ok", "written")
