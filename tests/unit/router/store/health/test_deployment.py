"""How redis.url has to speak to a store, told by what the server says and by how it refuses."""

import pytest
from redis.exceptions import ClusterCrossSlotError, MovedError, NoPermissionError, RedisClusterException, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from router.store.connection_kinds import HandshakeRefused
from router.store.health.deployment import fault_of, mode_of, wrong_mode


@pytest.mark.parametrize(
    ("info", "mode"),
    [
        ({}, ""),
        ({"redis_mode": "standalone"}, "standalone"),
        ({"redis_mode": "standalone", "cluster_enabled": 0}, "standalone"),
        ({"redis_mode": "cluster"}, "cluster"),
        ({"server_mode": "cluster"}, "cluster"),
        ({"cluster_enabled": 1}, "cluster"),
        ({"redis_mode": "sentinel"}, "sentinel"),
    ],
)
def test_the_mode_is_read_from_info(info: dict[str, object], mode: str) -> None:
    """Whichever of the fields a server has, its mode is known by it."""
    assert mode_of(info) == mode


@pytest.mark.parametrize(
    ("url", "write"),
    [
        ("redis://u:hidden@h:1", "write redis+cluster:// in place of redis://"),
        ("redis://h/3", "without a database"),
        ("rediss://h", "write rediss+cluster:// in place of rediss://"),
        ("unix:///run/s.sock", "write redis+cluster://HOST:PORT"),
        ("redis+sentinel://h/main", "write redis+cluster:// with the nodes"),
        ("rediss+sentinel://h/main", "write rediss+cluster:// with the nodes"),
    ],
)
def test_a_cluster_behind_another_url(url: str, write: str) -> None:
    """Each kind of URL that a Cluster cannot be spoken to by is told which one to write, without its password."""
    fault = wrong_mode("cluster", url)
    assert fault is not None
    assert write in fault.advice
    assert "cluster mode" in fault.found
    assert "hidden" not in str(fault)
    for error in (
        MovedError("1 127.0.0.1:1"),
        ClusterCrossSlotError("Keys in request don't hash to the same slot"),
        HandshakeRefused(ResponseError("SELECT is not allowed in cluster mode")),
    ):
        assert fault_of(error, url) == fault


@pytest.mark.parametrize(
    ("mode", "url"),
    [
        ("standalone", "redis://h"),
        ("standalone", "unix:///s"),
        ("standalone", "redis+sentinel://h/m"),
        ("standalone", "embedded"),
        ("cluster", "redis+cluster://h"),
        ("cluster", "rediss+cluster://h"),
        ("", "redis://h"),
    ],
)
def test_what_fits_is_no_fault(mode: str, url: str) -> None:
    """A URL that fits the server, or one that tells nothing, is no fault; nor are redirections within a Cluster."""
    assert wrong_mode(mode, url) is None
    if url.startswith(("redis+cluster", "rediss+cluster")):
        assert fault_of(MovedError("1 127.0.0.1:1"), url) is None


def test_a_sentinel_is_no_server() -> None:
    """Who names a Sentinel as the server is told the URL for Sentinels."""
    fault = wrong_mode("sentinel", "rediss://h")
    assert fault is not None
    assert "rediss+sentinel://HOST:PORT/SERVICE" in fault.advice


def wrapped(error: Exception) -> Exception:
    """Return an error as redis-py's client of a Cluster passes it on."""
    try:
        try:
            raise error
        except ResponseError:
            raise RedisClusterException("Cluster mode is not enabled on this node")  # noqa: B904 - as redis-py does
    except RedisClusterException as inner:
        outer = RedisClusterException("Redis Cluster cannot be connected")
        outer.__cause__ = inner
        return outer


def test_a_server_that_is_no_cluster() -> None:
    """Behind redis+cluster:// it is told to write redis://; what only the ACL refuses there is told as that."""
    disabled = wrapped(ResponseError("This instance has cluster support disabled"))
    fault = fault_of(disabled, "rediss+cluster://h")
    assert fault is not None
    assert "write rediss:// in place of rediss+cluster://" in fault.advice
    denied = wrapped(NoPermissionError("User x has no permissions to run the 'cluster|slots' command"))
    fault = fault_of(denied, "redis+cluster://h")
    assert fault is not None
    assert "CLUSTER SLOTS" in fault.advice


@pytest.mark.parametrize(
    ("text", "command", "advice"),
    [
        ("unknown command 'HELLO'", "HELLO", "do not rename HELLO"),
        ("unknown command `HELLO`", "HELLO", "do not rename HELLO"),
        ("User x has no permissions to run the 'hello' command", "HELLO", "allow"),
        ("DB index is out of range", "SELECT", "name a database"),
        ("User x has no permissions to run the 'select' command", "SELECT", "allow SELECT"),
    ],
)
def test_a_refused_beginning(text: str, command: str, advice: str) -> None:
    """A connection that cannot even begin says with which command, and what is to be done about that."""
    kind = NoPermissionError if "permissions" in text else ResponseError
    error = HandshakeRefused(kind(text))
    error.__cause__ = kind(text)
    fault = fault_of(error, "redis://h")
    assert error.command == command
    assert fault is not None
    assert advice in fault.advice
    assert "INFO" not in fault.advice


def test_an_error_that_is_its_own_cause() -> None:
    """`raise error from error` makes a chain without an end, which is followed once."""
    error = RedisConnectionError("loading")
    error.__cause__ = error
    assert fault_of(error, "redis://h") is None


def test_what_waiting_may_mend_is_no_fault() -> None:
    """A store that is away, loading or without a master is waited for."""
    for error in (
        RedisConnectionError("refused"),
        TimeoutError(),
        ResponseError("LOADING"),
        HandshakeRefused(ResponseError("DENIED Redis is running in protected mode")),
    ):
        for url in ("redis://h", "redis+cluster://h", "redis+sentinel://h/m"):
            assert fault_of(error, url) is None
