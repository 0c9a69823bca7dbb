"""The URL of the store: what each form says, and what is wrong with those that say nothing usable."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.urls import Node, StoreUrl, check_redis_url, parse_redis_url


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis://h", {"kind": "server", "nodes": (Node("h", 6379),), "db": 0, "tls": None}),
        ("redis://h:1/3", {"nodes": (Node("h", 1),), "db": 3}),
        ("redis://h?db=3", {"db": 3}),
        ("redis://h/2?db=3", {"db": 2}),
        ("redis://[::1]:1", {"nodes": (Node("::1", 1),)}),
        ("redis://[::1]", {"nodes": (Node("::1", 6379),)}),
        ("redis:///3", {"nodes": (Node("localhost", 6379),), "db": 3}),
        ("redis://:pw@", {"nodes": (Node("localhost", 6379),), "access": (None, "pw")}),
        ("redis://me:p%40%3A@h", {"access": ("me", "p@:")}),
        ("redis://me:p@w@h", {"nodes": (Node("h", 6379),), "access": ("me", "p@w")}),
        ("redis://h?username=me&password=p%26w", {"access": ("me", "p&w")}),
        ("redis://one:1@h?username=me&password=pw", {"access": ("one", "1")}),
        ("rediss://h", {"kind": "server", "tls": {}}),
        (
            "rediss://h?ssl_ca_certs=/a%20b.pem&ssl_check_hostname=False",
            {"tls": {"ssl_ca_certs": "/a b.pem", "ssl_check_hostname": False}},
        ),
        ("rediss://h?ssl_cert_reqs=none", {"tls": {"ssl_cert_reqs": "none"}}),
        ("unix:///run/a%20b?db=2", {"kind": "socket", "path": "/run/a b", "db": 2, "nodes": ()}),
        ("unix://me:pw@/run/s", {"path": "/run/s", "access": ("me", "pw")}),
        (
            "redis+sentinel://me:pw@a,b:1/main/4?username=watch&password=other",
            {
                "kind": "sentinel",
                "nodes": (Node("a", 26379), Node("b", 1)),
                "service": "main",
                "db": 4,
                "access": ("me", "pw"),
                "sentinel_access": ("watch", "other"),
            },
        ),
        ("redis+sentinel://a/main?password=other", {"access": (None, None), "sentinel_access": (None, "other")}),
        ("rediss+sentinel://a/main", {"kind": "sentinel", "tls": {}}),
        ("redis+cluster://a:1,[::2]:2", {"kind": "cluster", "nodes": (Node("a", 1), Node("::2", 2)), "tls": None}),
        ("redis+cluster://[::1],[::2]:2", {"nodes": (Node("::1", 6379), Node("::2", 2))}),
        ("redis+sentinel://me:p@[::1]:1,b/main?db=2", {"nodes": (Node("::1", 1), Node("b", 26379)), "db": 2}),
        ("redis://me:p[w]@[::1]:1", {"nodes": (Node("::1", 1),), "access": ("me", "p[w]")}),
        ("redis+cluster://me:pw@a/0", {"access": ("me", "pw"), "db": 0}),
        ("rediss+cluster://a?ssl_certfile=c&ssl_keyfile=k", {"tls": {"ssl_certfile": "c", "ssl_keyfile": "k"}}),
    ],
)
def test_what_a_url_says(url: str, wanted: dict[str, Any]) -> None:
    """Every form says where to connect, as whom, to which database and how it is encrypted."""
    found = parse_redis_url(url)
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert check_redis_url(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must be embedded or"),
        ("http://h", "rediss\\+cluster://"),
        ("redis://", "must be embedded or"),
        ("redis://h:x", "no HOST or HOST:PORT"),
        ("redis://h:0", "0 is no port"),
        ("redis://h:65536", "65536 is no port"),
        ("redis://[::1", "no HOST or HOST:PORT"),
        ("redis://::1", "no HOST or HOST:PORT"),
        ("redis://x[::1]", "no HOST or HOST:PORT"),
        ("redis+cluster://a,[::1", "no HOST or HOST:PORT"),
        ("redis://me:hunter2#3@h", "percent-encoded"),
        ("redis://me:hunter2/3@h", "percent-encoded"),
        ("redis://me:2?hunter2@h", "percent-encoded"),
        ("redis://me:2#hunter2@h", "percent-encoded"),
        ("redis://me:hunter2℀@h", "percent-encoded"),
        ("redis://a,b", r"several hosts: write redis\+sentinel"),
        ("redis://h/main", "'main' is no database number"),
        ("redis://h?db=-1", "'-1' is no database number"),
        ("redis://h?db=²", "'²' is no database number"),
        ("unix://run/redis.sock", "absolute: write unix:///run"),
        ("unix://?db=1", "absolute: write unix:///run"),
        ("redis+sentinel://me:hunter2@a:1,b", r"names no Sentinel service: write redis\+sentinel://a:1,b/SERVICE"),
        ("rediss+sentinel://a/", r"write rediss\+sentinel://a/SERVICE"),
        ("redis+sentinel://a/main/first", "'first' is no database number"),
        ("redis+sentinel:///main", "names no host"),
        ("redis+cluster://a,,b", "names no host"),
        ("redis+cluster://a/1", "a Cluster has no database but 0"),
        ("redis://h?socket_timeout=1", "unknown parameter 'socket_timeout'; known are db, username, password$"),
        ("rediss://h?ssl_ca_cert=x", "unknown parameter 'ssl_ca_cert'.*ssl_ca_certs"),
        ("redis://h?ssl_ca_certs=x", "encrypted connections: write rediss://"),
        ("redis+cluster://h?ssl_ca_certs=x", r"encrypted connections: write rediss\+cluster://"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs=maybe: must be required, or none"),
        ("rediss://h?ssl_check_hostname=maybe", "must be true or false"),
    ],
)
def test_what_is_wrong_with_a_url(url: str, reason: str) -> None:
    """A URL that cannot be used is refused with what is wrong, and never with its password."""
    with pytest.raises(ValueError, match=reason) as caught:
        check_redis_url(url)
    assert "hunter2" not in str(caught.value)


def test_a_parsed_url_does_not_show_passwords() -> None:
    """Wherever one is printed, its passwords are not."""
    found = parse_redis_url("redis+sentinel://me:hunter2@a/main?password=hunter2")
    assert isinstance(found, StoreUrl)
    assert "hunter2" not in repr(found)


@given(scheme=st.sampled_from(["redis", "rediss", "unix", "rediss+sentinel", "redis+cluster"]), rest=st.text())
def test_any_text_is_taken_or_refused(scheme: str, rest: str) -> None:
    """Whatever somebody writes is a URL or a ValueError, nothing else."""
    try:
        assert parse_redis_url(f"{scheme}://{rest}")
    except ValueError as error:
        assert str(error)  # noqa: PT017 - both ends are right
