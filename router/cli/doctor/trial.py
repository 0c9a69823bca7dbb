"""What `doctor` tries for real: a script, a group, and a read that blocks, by keys of its own that it removes again."""

import secrets
from collections.abc import Sequence
from typing import Any

from config.errors import described
from router.cli.command.advice import advice_on
from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.health.deployment import fault_of
from router.store.health.judgement import Check
from router.store.health.rights import Role, judge_rights, scratch_stream, try_rights
from router.store.health.survey import is_denied
from router.store.read_connection import ReadConnection
from router.store.reading import checked

_GROUP = "doctor"
_LEFT = 60_000  # milliseconds until what is tried is gone by itself, should it not be removed
_BLOCK = 1.0  # seconds to wait for what is there
_QUIET = 0.02  # seconds to wait for what does not come
_ROLES: Sequence[Role] = ("ingress", "worker")
_ACL = "allow the user of redis.url what docs/redis.md says under ACL"


async def try_out(store: Store, url: str) -> list[Check]:
    """Do once what ingress and a worker do all the time; raises StoreUnavailable when the store is away.

    A user who may not remove the keys makes none: it is only asked what he may do.
    """
    trial = _Trial(store, secrets.token_hex(4))
    try:
        await trial.remove()
    except StoreRefused as error:
        return await _ask_only(store, url) if is_denied(error) else [_failed("script", error, url)]
    checks: list[Check] = []
    name = ""
    try:
        for name, step in (("script", trial.append), ("group", trial.join), ("blocking read", trial.read)):
            checks.append(Check(name, "ok", await step()))
    except (StoreRefused, _NotSo) as error:
        checks.append(_failed(name, error, url))
    finally:
        await trial.remove()
    return checks


class _NotSo(Exception):
    """The store answers, and not what it should."""


class _Trial:
    """One event of a stream that does not exist, and a group that reads it with another stream, as workers do."""

    def __init__(self, store: Store, name: str) -> None:
        keys, first, second = store.keys, scratch_stream(f"{name}:1"), scratch_stream(f"{name}:2")
        self._store = store
        self._events = keys.events(first)
        self._marker = keys.seen(first, "x")
        other = keys.inbox(first, _GROUP) if store.cluster else keys.events(second)
        self._sources = (self._events, other)

    async def append(self) -> str:
        """Append an event by the script of ingress."""
        self._id: bytes = (await self._store.call(scripts.append(self._events, [self._marker], ["id", "x"], _LEFT)))[0]
        if not self._id:
            raise _NotSo("the script took a new event for one that it had seen")
        return "appends an event"

    async def join(self) -> str:
        """Make the group on both streams."""
        create = [("XGROUP", "CREATE", key, _GROUP, "0", "MKSTREAM") for key in self._sources]
        expire = [("PEXPIRE", key, _LEFT) for key in self._sources]
        checked((await self._store.commands([*create, *expire]))[: len(create)])
        return "is made"

    async def read(self) -> str:
        """Read by the group until the event comes, and then in vain."""
        reader = ReadConnection(self._store, self._events, _BLOCK, unblockable=False)
        try:
            found = await self._read(reader, _BLOCK)
            if [entry_id for entries in found.values() for entry_id, _ in entries] != [self._id]:
                raise _NotSo(f"it brought {found or 'nothing'} in place of the event that was appended")
            if await self._read(reader, _QUIET):
                raise _NotSo("it brought the event a second time")
        finally:
            await reader.aclose()
        return "brings the event, once"

    async def remove(self) -> None:
        """Remove every key that a trial may have made; raises StoreUnavailable."""
        checked(await self._store.commands([("UNLINK", key) for key in (*self._sources, self._marker)]))

    async def _read(self, reader: ReadConnection, block: float) -> Any:
        command = ("XREADGROUP", "GROUP", _GROUP, _GROUP, "COUNT", 1, "BLOCK", int(block * 1000))
        found = await reader.run(*command, "STREAMS", *self._sources, ">", ">")
        return found or {}


async def _ask_only(store: Store, url: str) -> list[Check]:
    """Say what a user may do who cannot try it: he is made for one role, as those of config/acl are."""
    refused = {role: [*judge_rights(await try_rights(store, [role]), url)] for role in _ROLES}
    may = [role for role, checks in refused.items() if not checks]
    if not may:
        return refused["ingress"]
    detail = f"only asked, since the user may not remove what it takes: it may run {' and '.join(may)}"
    return [Check("commands", "ok", detail)]


def _failed(name: str, error: Exception, url: str) -> Check:
    if (fault := fault_of(error, url)) is not None:
        return Check(name, "failed", *fault)
    if is_denied(error):
        what = {"script": "EVALSHA and EVAL", "group": "XGROUP CREATE", "blocking read": "XREADGROUP"}[name]
        return Check(
            name, "failed", f"the user of redis.url may not run {what} ({error})", f"{_ACL}, rename no command"
        )
    if isinstance(error, _NotSo):
        return Check(name, "failed", str(error), "use a server as docs/redis.md says, without a proxy that speaks RESP")
    return Check(name, "failed", described(error), advice_on(described(error)))
