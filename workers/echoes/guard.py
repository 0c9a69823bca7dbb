"""Tells the echoes of our own writes from the changes of others; in doubt, an event is handled."""

import secrets
from collections.abc import Collection
from random import Random
from typing import Final

from router.store.client import Store
from router.store.echoes import ATTEMPT, RecordOf, Versions
from router.store.errors import STORE_ERRORS
from router.store.scripts import Call
from router.tasks.ending import in_time
from router.telemetry import logs
from workers.delivery import Delivery
from workers.echoes.left_out import ECHO, note_left_out
from workers.echoes.noted import PATIENCE
from workers.erp.background import is_background
from workers.erp.clients import current_erp
from workers.outcomes import Defer, Echoed
from workers.record import Record

__all__ = ["EchoGuard", "may_be_echo"]

_CHANGES: Final[Collection[str]] = ("changed", "created", "updated")
"""What an event may say that its record shows; that somebody triggered an action is in no version."""
_MARGIN = 5.0
_SOON = 0.5
"""Seconds after which an event comes again whose record is being written, half of it to all of it twice over."""

_log = logs.get("echo")


def may_be_echo(delivery: Delivery) -> bool:
    """Tell whether a delivery may be left out: a first attempt of what a change of a record makes.

    What failed before, or was replayed, is to be handled.
    """
    event = delivery.event
    return (
        delivery.attempt == 1
        and not delivery.errors
        and not _is_replay(delivery.generation)
        and event.action in _CHANGES
        and all(_is_change(merged.type) and not _is_replay(merged.generation) for merged in delivery.merged)
    )


def _is_replay(generation: str) -> bool:
    """Tell a replay, which names an entry of a stream, from a webhook that has a name of its own."""
    return "-" in generation


def _is_change(type_: str) -> bool:
    return type_.endswith(tuple(f"_{action}" for action in _CHANGES)) and not type_.endswith("_status_changed")


class Attempt:
    """An attempt of a subscription with a version of a record."""

    def __init__(self, guard: "EchoGuard", versions: Versions, token: str, version: str) -> None:
        self._guard = guard
        self._versions = versions
        self._token = token
        self._version = version

    async def leave(self, *, handled: bool) -> None:
        """Note whether the version was handled: what we write on it has nothing new then."""
        version = self._version if handled else None
        await self._guard.ask(self._versions.leave(self._guard.subscription, self._token, version))


class EchoGuard:
    """Judges the records of one subscription; `timeout` in seconds, None for no limit."""

    def __init__(self, store: Store, subscription: str, timeout: float | None, random: Random) -> None:
        self._store = store
        self.subscription = subscription
        self._longest = ATTEMPT if timeout is None else timeout + _MARGIN
        self._random = random

    async def judge(self, delivery: Delivery, record: Record) -> Attempt | Echoed | Defer | None:
        """Return the attempt that begins; None where the record has no version, or the store is away."""
        event = delivery.event
        if record.etag is None or record.gone or event.resource_path is None or is_background(event.resource_path):
            return None
        path = event.resource_path.removesuffix("/")
        versions = Versions(self._store.keys, RecordOf(*current_erp(event).whose, path))
        token = secrets.token_hex(8)
        found = await self.ask(
            versions.judge(
                *(self.subscription, token, record.etag, self._longest),
                may_be_echo=may_be_echo(delivery),
            )
        )
        if found == b"wait":
            delay = self._random.uniform(_SOON, 2 * _SOON)
            return Defer(delay, "a write of ours to its record is under way")
        if found == b"echo":
            await note_left_out(self._store, self.subscription, delivery, ECHO)
            return Echoed(event.stream, event.id, delivery.generation)
        return Attempt(self, versions, token, record.etag) if found == b"handle" else None

    async def ask(self, call: Call) -> object:
        """Return what a script replies; None where the store is away."""
        try:
            return await in_time(PATIENCE, self._store.call(call))
        except STORE_ERRORS as error:
            _log.warning("echo_not_known", subscription=self.subscription, error=type(error).__name__)
            return None
