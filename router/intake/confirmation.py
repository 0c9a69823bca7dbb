"""Making sure that what was appended is as durable as configured, before any sender hears that it is stored.

A server confirms the writes of one connection up to the last write of that same connection, and a script that found
only duplicates wrote nothing: the confirmation would come at once, for an entry that another process appended a moment
ago and that is on no disk yet. So each confirmation is preceded, on its connection, by a write of its own: the markers
of the batch get their full time to live again. Offsets only grow, hence everything appended before is covered too. A
marker that is not there shows that another server answers than the one that appended: a failover came in between.
"""

from collections.abc import Sequence
from typing import Any

from config.durability import Durability
from router.store.client import Store
from router.store.errors import StoreUnavailable

_SHARE = 0.8
"""Of the time a command may take, what the server may wait: it then answers how far it came before we give up."""


class NotDurable(StoreUnavailable):
    """The entries are in the store, but not as durable as configured."""

    named = True


class Confirmation:
    """Confirms appended batches on one store."""

    def __init__(self, store: Store, durability: Durability, *, timeout: float) -> None:
        self._store = store
        self._least = durability.replicas or 1
        milliseconds = max(1, int(timeout * _SHARE * 1000))
        self._command: tuple[Any, ...] = (
            ("WAITAOF", 1, 0, milliseconds)
            if durability.level == "fsynced"
            else ("WAIT", durability.replicas, milliseconds)
        )

    @classmethod
    def for_level(cls, store: Store, durability: Durability, *, timeout: float) -> "Confirmation | None":
        """Return what confirms this level, which may take `timeout` seconds; None where a reply is enough."""
        return None if durability.level == "written" else cls(store, durability, timeout=timeout)

    async def failures(self, markers: Sequence[tuple[str, int]]) -> list[BaseException | None]:
        """Return for each marker, with its time to live (milliseconds), why its entry is not durable, or None."""
        touches = [("PEXPIRE", marker, window) for marker, window in markers]
        return [self._judge(*pair) for pair in await self._store.followed(touches, self._command)]

    def _judge(self, touched: object, reply: Any) -> BaseException | None:
        for answer in (touched, reply):
            if isinstance(answer, BaseException):
                return answer
        if not touched:
            return NotDurable("the deduplication marker was gone before the append was confirmed")
        reached = reply[0] if isinstance(reply, list) else reply
        if reached >= self._least:
            return None
        return NotDurable(f"{self._command[0]} answered {reached} of {self._least} in time")
