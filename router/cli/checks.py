"""What can be wrong with an installation, and what to do about it: pure judgements of what was found out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from config.settings import Settings
from router.access import EMBEDDED
from router.catalogue import Catalogue
from router.secrets import secrets_of

__all__ = ["Check", "State", "judge_publishers", "judge_server"]

State = Literal["ok", "warning", "failed"]

_OLDEST = (7, 0)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice` says what to do unless it is ok."""

    name: str
    state: State
    detail: str
    advice: str = ""


def judge_publishers(settings: Settings, catalogue: Catalogue) -> Iterator[Check]:
    """Say of each publisher whether its webhooks are let in, and whether anybody's are."""
    open_to = [slug for slug in catalogue.publishers if settings.allows_unsigned(slug) or secrets_of(settings, slug)]
    for slug in catalogue.publishers:
        name, secrets = f"publisher {slug}", secrets_of(settings, slug)
        if settings.allows_unsigned(slug):
            detail = "ALLOWS UNSIGNED WEBHOOKS: anyone who reaches the port can forge its events"
            yield Check(name, "warning", detail, "take it out of allow_unsigned, and set its secret")
        elif secrets:
            yield Check(name, "ok", f"{len(secrets)} secret{'s' if len(secrets) > 1 else ''}")
        else:
            advice = f"set ROUTER_SECRETS__{slug.upper().replace('-', '_')} if it is to send here"
            if settings.redis.url == EMBEDDED:
                advice += "; `event-router up` makes one"
            yield Check(name, "warning" if open_to else "failed", "no secret: everything it sends is refused", advice)


def judge_server(info: Mapping[str, Any], *, embedded: bool) -> Iterator[Check]:
    """Judge what a server says of itself with INFO."""
    yield _version(info)
    yield _eviction(info)
    yield _append_only(info)
    yield _memory(info, embedded=embedded)


def _version(info: Mapping[str, Any]) -> Check:
    spoken = str(info.get("redis_version", "0"))
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {spoken}"
    numbers = tuple(int(part) for part in spoken.split(".")[:2] if part.isdigit())
    if numbers >= _OLDEST:
        return Check("server version", "ok", name)
    return Check("server version", "failed", f"{name} is too old", "use Redis 7.0 or later, or Valkey 8 or later")


def _eviction(info: Mapping[str, Any]) -> Check:
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        return Check("eviction policy", "ok", policy)
    detail = f"{policy}: a server that is full would throw away streams with all their events"
    return Check("eviction policy", "failed", detail, "set maxmemory-policy noeviction")


def _append_only(info: Mapping[str, Any]) -> Check:
    if not int(info.get("aof_enabled", 0)):
        detail = "off: events that were answered 202 are lost when the server ends"
        return Check("append-only file", "failed", detail, "set appendonly yes")
    if info.get("aof_last_write_status", "ok") != "ok":
        return Check("append-only file", "failed", "the last write to it failed", "look at the server's disk and log")
    return Check("append-only file", "ok", "on")


def _memory(info: Mapping[str, Any], *, embedded: bool) -> Check:
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    megabytes = f"{used / 1_048_576:.0f} MiB used"
    if limit:
        share = used / limit
        state: State = "ok" if share < 0.8 else "warning"  # noqa: PLR2004 - four fifths
        advice = "" if state == "ok" else "raise maxmemory, or find out which subscription lags: event-router streams"
        return Check("memory", state, f"{megabytes}, {share:.0%} of the limit", advice)
    if embedded:
        return Check("memory", "ok", f"{megabytes}, no limit")
    detail = f"{megabytes}, no limit: the system may kill the server when memory runs out"
    return Check("memory", "warning", detail, "set maxmemory below the memory of the machine")
