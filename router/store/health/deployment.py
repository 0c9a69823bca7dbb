"""Whether redis.url speaks to a store as it is deployed: to one server, to a Cluster, or to Sentinels.

Where it does not, most of what is asked may be answered all the same, and yet nothing would ever be handled: a server
in cluster mode appends to each stream and refuses to read several of them at once.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from redis.exceptions import ClusterCrossSlotError, MovedError, NoPermissionError

from config.errors import causes
from config.urls import StoreUrl, parse_redis_url
from router.store.connection_kinds import HandshakeRefused

_ACL = "as docs/redis.md says under ACL"


class Fault(NamedTuple):
    """What is wrong with redis.url or its user, and what to do about it."""

    found: str
    advice: str


def mode_of(info: Mapping[str, Any]) -> str:
    """Return how a server is deployed, as its INFO tells: `cluster`, `sentinel`, `standalone`; empty if it does not."""
    if str(info.get("cluster_enabled", "0")) == "1":
        return "cluster"
    return str(info.get("redis_mode") or info.get("server_mode") or "")


def wrong_mode(mode: str, url: str) -> Fault | None:
    """Return what is wrong with a URL that leads to a server of this mode."""
    parsed = _parsed(url)
    if mode == "cluster" and parsed.kind != "cluster":
        found = (
            f"the server is in cluster mode, and {_scheme(url)}:// speaks to one that is not: nothing would be handled"
        )
        return Fault(found, _to_cluster(parsed, url))
    if mode == "sentinel":
        found = f"{_scheme(url)}:// leads to a Sentinel, which keeps no events"
        return Fault(found, f"write {_encrypted('redis', parsed)}+sentinel://HOST:PORT/SERVICE into redis.url")
    return None


def fault_of(error: BaseException, url: str) -> Fault | None:
    """Return what an error says is wrong with the URL or its user, if waiting cannot mend it."""
    for one in causes(error):
        if (fault := _fault_of(one, url)) is not None:
            return fault
    return None


def _fault_of(error: BaseException, url: str) -> Fault | None:
    text, parsed = str(error), _parsed(url)
    if isinstance(error, MovedError | ClusterCrossSlotError) or "in cluster mode" in text:
        return wrong_mode("cluster", url)
    if "cluster support disabled" in text:
        found = f"the server is not in cluster mode, and {_scheme(url)}:// speaks to a Cluster alone"
        return Fault(found, f"write {_encrypted('redis', parsed)}:// in place of {_scheme(url)}:// into redis.url")
    if isinstance(error, NoPermissionError) and "'cluster|" in text and parsed.kind == "cluster":
        return Fault(f"the user may not ask who has which slots ({text})", f"allow it CLUSTER SLOTS, {_ACL}")
    if parsed.kind == "sentinel" and "unknown command 'SENTINEL'" in text:
        advice = "name the ports of the Sentinels (26379) in redis.url, or write redis:// for a server without them"
        return Fault("what redis+sentinel:// names is no Sentinel", advice)
    return _refused_handshake(error) if isinstance(error, HandshakeRefused) else None


def _refused_handshake(error: HandshakeRefused) -> Fault | None:
    text = str(error)
    if error.command == "HELLO" and "unknown command" in text:
        advice = (
            "use Redis 7.0 or Valkey 8.0 or later, do not rename HELLO, and reach the server without a proxy that "
            "does not pass it on"
        )
        return Fault(f"it does not know HELLO, with which every connection begins ({text})", advice)
    if error.command == "HELLO":
        if "permission" not in text:
            return None
        return Fault(f"HELLO is refused, with which every connection begins ({text})", f"allow it to the user, {_ACL}")
    advice = f"name a database in redis.url that the server has and the user may use, or allow SELECT, {_ACL}"
    return Fault(f"the database cannot be selected ({text})", advice)


def _to_cluster(parsed: StoreUrl, url: str) -> str:
    cluster = f"{_encrypted('redis', parsed)}+cluster://"
    if parsed.kind == "socket":
        return f"write {cluster}HOST:PORT into redis.url: a Cluster is not spoken to over a socket"
    if parsed.kind == "sentinel":
        return f"write {cluster} with the nodes of the Cluster into redis.url: it needs no Sentinels"
    return f"write {cluster} in place of {_scheme(url)}:// into redis.url" + (
        ", without a database" if parsed.db else ""
    )


def _parsed(url: str) -> StoreUrl:
    return StoreUrl("server") if url == "embedded" else parse_redis_url(url)


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def _encrypted(scheme: str, parsed: StoreUrl) -> str:
    return f"{scheme}s" if parsed.tls is not None else scheme
