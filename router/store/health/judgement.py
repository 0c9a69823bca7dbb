"""What a server of the store must be like to keep the promises: pure judgements of what it says of itself.

A server is refused only where events would be lost without anybody noticing, or where nothing could work at all. What
is merely wrong at the moment, such as a replica that is away, is said and not refused: it may come back by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from config.durability import Durability
from config.settings import Settings
from router.embedded.access import EMBEDDED
from router.store.health.deployment import mode_of, wrong_mode

State = Literal["ok", "warning", "failed"]

_OLDEST_REDIS, _OLDEST_VALKEY = (7, 0), (8, 0)
_WAITAOF_SINCE = (7, 2)
_FULL = 0.8  # of the memory limit
_MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice` says what to do unless it is ok.

    `refused`: ingress and workers do not start on it.
    """

    name: str
    state: State
    detail: str
    advice: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """What one server says of itself: its INFO, and whether it has WAITAOF (None: not known).

    `name` is host:port in a Cluster and empty elsewhere. `denied` is why there is no INFO. `appendfsync` is when it
    flushes its append-only file, empty where it does not tell.
    """

    name: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    waitaof: bool | None = None
    denied: str = ""
    appendfsync: str = ""


def judge_server(server: Server, settings: Settings) -> Iterator[Check]:
    """Judge one server by what the settings want of it; the names of the checks end in that of a named server."""
    for check in _judge(server, settings):
        yield replace(check, name=f"{check.name} of {server.name}") if server.name else check


def _judge(server: Server, settings: Settings) -> Iterator[Check]:
    info = server.info
    if not info:
        detail = f"unknown, since it does not tell ({server.denied})"
        yield Check("server settings", "warning", detail, "allow the user of redis.url the command INFO")
        return
    if (fault := wrong_mode(mode_of(info), settings.redis.url)) is not None:
        yield Check("deployment", "failed", fault.found, fault.advice, refused=True)
    yield _version(info)
    yield _role(info)
    yield _eviction(info, allowed=settings.redis.allow_eviction)
    yield _append_only(info)
    yield _memory(info, embedded=settings.redis.url == EMBEDDED)
    yield _durability(server, settings.ingress.durability)


def _version(info: Mapping[str, Any]) -> Check:
    maker, oldest = ("Valkey", _OLDEST_VALKEY) if "valkey_version" in info else ("Redis", _OLDEST_REDIS)
    text = str(info.get(f"{maker.lower()}_version", "of an unknown version"))
    numbers, advice = _numbers(text), "use Redis 7.0 or later, or Valkey 8.0 or later"
    if not numbers:
        return Check("server version", "warning", f"{maker} {text}", advice)
    if numbers < oldest:
        return Check("server version", "failed", f"{maker} {text} is too old", advice, refused=True)
    return Check("server version", "ok", f"{maker} {text}")


def _role(info: Mapping[str, Any]) -> Check:
    role = str(info.get("role", "unknown"))
    if role != "slave":
        return Check("server role", "ok", role)
    writes = "takes no writes" if _number(info, "slave_read_only", 1) else "loses what is written to it"
    detail = f"a replica of {info.get('master_host')}:{info.get('master_port')}, which {writes}"
    return Check("server role", "failed", detail, "name the master in redis.url, or the Sentinels that know it")


def _eviction(info: Mapping[str, Any], *, allowed: bool) -> Check:
    name, policy = "eviction policy", str(info.get("maxmemory_policy", "unknown"))
    advice = "set maxmemory-policy noeviction on the server"
    if policy == "noeviction":
        return Check(name, "ok", policy)
    if policy == "unknown":
        return Check(name, "warning", policy, advice)
    # Only the markers of the deduplication have a time to live.
    what = "forgets notifications, and takes them in twice" if policy.startswith("volatile") else "throws events away"
    detail = f"{policy}: a server that is full {what}, without an error"
    if allowed:
        return Check(name, "warning", f"{detail}; redis.allow_eviction lets it", f"{advice}, and take that setting out")
    return Check(name, "failed", detail, f"{advice}, or redis.allow_eviction = true to run all the same", refused=True)


def _append_only(info: Mapping[str, Any]) -> Check:
    name = "append-only file"
    if not _number(info, "aof_enabled"):
        detail = "off: when the server ends, all since its last snapshot is lost, events answered with 202 among it"
        advice = "CONFIG SET appendonly yes while it runs, then in its file too: a restart alone would begin empty"
        return Check(name, "failed", detail, advice)
    if info.get("aof_last_write_status", "ok") != "ok":
        detail = "on, but the last write to it failed: the server refuses further ones, or loses them when it ends"
        return Check(name, "failed", detail, "look at the server's disk and log")
    return Check(name, "ok", "on")


def is_nearly_full(info: Mapping[str, Any]) -> bool:
    """Return whether a server has used most of the memory that it may use."""
    limit = _number(info, "maxmemory")
    return bool(limit) and _number(info, "used_memory") > limit * _FULL


def _memory(info: Mapping[str, Any], *, embedded: bool) -> Check:
    limit, used = _number(info, "maxmemory"), _number(info, "used_memory")
    detail = f"{used / _MIB:.0f} MiB used"
    if is_nearly_full(info):
        detail += f", {used / limit:.0%} of the limit: a full server takes no more events"
        advice = "raise maxmemory, or find out which subscription lags: event-router streams"
        return Check("memory", "warning", detail, advice)
    if limit:
        return Check("memory", "ok", f"{detail}, {used / limit:.0%} of the limit")
    if embedded:
        return Check("memory", "ok", f"{detail}, no limit")
    detail += ", no limit: the system may kill the server when memory runs out"
    return Check("memory", "warning", detail, "set maxmemory below the memory of the machine")


def _durability(server: Server, wanted: Durability) -> Check:
    name, info = "durability", server.info
    if wanted.level == "fsynced" and (missing := _no_fsync(server)):
        advice = "set ingress.durability to written, or change the server"
        return Check(name, "failed", f"{wanted} is not possible: {missing}", advice, refused=True)
    if wanted.level == "fsynced" and server.appendfsync != "always":
        return _flushing(server, wanted)
    if wanted.level == "replicated" and (connected := _replicas(info)) < wanted.replicas:
        detail = f"{wanted}, but {connected} connected: until there are more, nothing is stored as durably as promised"
        return Check(name, "failed", detail, "start the replicas, or set ingress.durability lower")
    return Check(name, "ok", str(wanted))


def _no_fsync(server: Server) -> str:
    """Return why the server cannot say when an append has reached its disk; empty where it can."""
    if not _number(server.info, "aof_enabled"):
        return "its append-only file is off"
    known = _numbers(str(server.info.get("redis_version", "")))
    has_it = server.waitaof if server.waitaof is not None else not known or known >= _WAITAOF_SINCE
    return "" if has_it else "it has no WAITAOF, which came with Redis 7.2"


def _flushing(server: Server, wanted: Durability) -> Check:
    """Judge a server that may not flush at once. Valkey 8.1 and 9.1 then answer WAITAOF before they have flushed."""
    name, how = "durability", server.appendfsync or "unknown, since it does not tell"
    advice = f"{'set' if server.appendfsync else 'make sure of'} appendfsync always on the server"
    if "valkey_version" not in server.info:
        return Check(name, "warning", f"{wanted}, with appendfsync {how}: a batch may wait for up to a second", advice)
    detail = f"{wanted}, with appendfsync {how}: unless it is always, Valkey confirms before the file is flushed"
    if not server.appendfsync:
        return Check(name, "warning", detail, advice)
    return Check(name, "failed", detail, advice, refused=True)


def _replicas(info: Mapping[str, Any]) -> int:
    """Return how many replicas follow; one that still copies everything does not yet."""
    count = _number(info, "connected_slaves")
    rows = [info.get(f"slave{number}") for number in range(count)]
    return sum(not isinstance(row, Mapping) or row.get("state") == "online" for row in rows)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _number(info: Mapping[str, Any], name: str, default: int = 0) -> int:
    value = info.get(name, default)
    return int(value) if isinstance(value, int | float) else default
