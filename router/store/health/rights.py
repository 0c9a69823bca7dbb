"""Whether the user of redis.url may do what a role does with the store: tried, and nothing is changed by that.

What is tried names keys of the form that the role uses, of a stream that does not exist, and changes nothing.
A server looks at the rights, and at the slots of a Cluster, before it looks whether there is anything to do.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal

from router.store import scripts
from router.store.client import Store
from router.store.errors import STORE_ERRORS, is_refusal
from router.store.health.deployment import fault_of
from router.store.health.judgement import Check
from router.store.health.survey import is_denied
from router.store.keys import Keys

Role = Literal["ingress", "worker", "reconcile"]

Trial = tuple[str, BaseException]
"""What was tried, by the name of its command, and the error that it ended in."""

Command = tuple[Any, ...]


def scratch_stream(name: object) -> str:
    """Return a name of a stream, by whose keys something is tried; no publisher can have it."""
    return f"doctor:{name}"


async def try_rights(store: Store, roles: Sequence[Role]) -> list[Trial]:
    """Try what the roles need; return what ended in an error. Raises StoreUnavailable when the store is away."""
    if not roles:
        return []
    needed = (_needed_by(role, store.keys, cluster=store.cluster) for role in roles)
    names, commands = zip(*chain.from_iterable(needed), strict=True)
    stream = store.keys.events(scratch_stream(1))
    script = (await store.run([scripts.append(stream, [], [], 0)]))[0]
    replies: list[Any] = [script, *await store.commands(commands)]
    for reply in replies:
        if isinstance(reply, STORE_ERRORS) and not is_refusal(reply):
            raise reply
    return [
        (name, reply)
        for name, reply in zip(("EVALSHA", *names), replies, strict=True)
        if isinstance(reply, BaseException)
    ]


def _needed_by(role: Role, keys: Keys, *, cluster: bool) -> list[tuple[str, Command]]:
    """Return what a role runs, by the names of the commands; several streams at once only where that is no Cluster."""
    stream, others, group = scratch_stream(1), [] if cluster else [scratch_stream(2)], "x"
    events = keys.events(stream)
    if role in ("ingress", "reconcile"):
        seen = [keys.seen(name, "x") for name in (stream, *others)]
        return [
            ("EXISTS", ("EXISTS", *seen)),
            ("XADD", ("XADD", events, "NOMKSTREAM", "*", "id", "x")),
            ("SET", ("SET", seen[0], "x", "XX", "PX", 1)),
        ]
    sources = [events, keys.inbox(stream, group), *map(keys.events, others)]
    above = [">"] * len(sources)
    return [
        ("XGROUP CREATE", ("XGROUP", "CREATE", events, group, "0")),
        ("XREADGROUP", ("XREADGROUP", "GROUP", group, "x", "COUNT", 1, "STREAMS", *sources, *above)),
        ("XACK", ("XACK", events, group, "0-1")),
    ]


def judge_rights(trials: Sequence[Trial], url: str) -> Iterator[Check]:
    """Judge what ended in an error: what is refused for good, and not what only this moment forbids."""
    faults = {fault: None for _, error in trials if (fault := fault_of(error, url)) is not None}
    for fault in faults:
        yield Check("deployment", "failed", fault.found, fault.advice, refused=True)
    denied = {name: error for name, error in trials if is_denied(error)}
    if denied and not faults:
        found = f"the user of redis.url may not run {', '.join(denied)} ({next(iter(denied.values()))})"
        advice = "allow it what docs/redis.md says under ACL, and rename no command on the server"
        yield Check("commands", "failed", found, advice, refused=True)
