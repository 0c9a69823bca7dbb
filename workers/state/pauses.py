"""Pauses of subscriptions, as the store keeps them: through restarts of anything, until somebody ends them or they end.

The stream of a subscription's pauses says by its last entry whether it is paused; one with an end expires.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, moment_of
from router.store.record import number_of, text_of

_KEPT = 86_400  # seconds that a worker's confirmation is kept
_GONE = -2  # what PTTL says of a key that is not there
_LONGEST = (
    100 * 365 * 86_400_000
)  # milliseconds of an end that are shown: somebody may have set one beyond all calendars


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when a subscription is paused, until when (None until it is resumed), by whom and why."""

    entry_id: str
    since: datetime
    until: datetime | None
    by: str
    reason: str

    @property
    def seconds_left(self) -> float | None:
        """How long it lasts from now on; None until it is resumed."""
        return None if self.until is None else (self.until - datetime.now(UTC)).total_seconds()

    def text(self) -> str:
        """Return it in words."""
        until = f" until {self.until:%Y-%m-%d %H:%M:%S} UTC" if self.until else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"paused since {self.since:%Y-%m-%d %H:%M:%S} UTC{until} by {self.by or 'somebody'}{reason}"


async def paused(store: Store, names: Sequence[str]) -> dict[str, Pause]:
    """Return the pauses of those subscriptions that are paused; one round trip. Raises StoreUnavailable."""
    commands = [command for name in names for command in _questions(store.keys.pause(name))]
    replies = await store.commands(commands) if commands else []
    replies = checked(forgiven(replies, [key for _, key, *_ in commands], []))
    replies[1::2] = await _shortened(store, names, replies)
    found = zip(names, replies[::2], replies[1::2], strict=True)
    pauses = {name: _read(entries, remaining) for name, entries, remaining in found}
    return {name: pause for name, pause in pauses.items() if pause is not None}


async def confirm(store: Store, name: str, consumer: str, pause: Pause) -> None:
    """Write down that a consumer takes no more deliveries because of this pause."""
    key = store.keys.halted(name)
    checked(await store.commands([("HSET", key, consumer, pause.entry_id), ("EXPIRE", key, _KEPT)]))


async def confirmed(store: Store, name: str, pause: Pause) -> set[str]:
    """Return the consumers that have confirmed this pause."""
    (found,) = checked(await store.commands([("HGETALL", store.keys.halted(name))]))
    return {
        who.decode(errors="backslashreplace") for who, entry_id in found.items() if entry_id == pause.entry_id.encode()
    }


async def _shortened(store: Store, names: Sequence[str], replies: Sequence[Any]) -> list[int]:
    """Return how long each pause lasts from now on, and have the store keep it no longer than it was set for.

    A store whose clock was set back since would keep it for as long as the clock was ahead. One that does not allow to
    shorten it is left alone.
    """
    lasting = [_least(entries, remaining) for entries, remaining in zip(replies[::2], replies[1::2], strict=True)]
    changed = zip(names, replies[1::2], lasting, strict=True)
    commands = [("PEXPIRE", store.keys.pause(name), least) for name, remaining, least in changed if least < remaining]
    if commands:
        await store.commands(commands)
    return lasting


def _least(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]], remaining: int) -> int:
    wanted = number_of(entries[0][1].get(b"for")) if entries else 0
    return min(remaining, wanted) if wanted and _is_pause(entries) else remaining


def _is_pause(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> bool:
    return entries[0][1].get(b"verb") == b"pause"


def _questions(key: str) -> list[tuple[Any, ...]]:
    return [("XREVRANGE", key, "+", "-", "COUNT", 1), ("PTTL", key)]


def _read(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]], remaining: int) -> Pause | None:
    # A key may expire between the two questions: then there was an entry, and is none.
    if not entries or remaining == _GONE or not _is_pause(entries):
        return None
    entry_id, fields = entries[0]
    until = datetime.now(UTC) + timedelta(milliseconds=min(remaining, _LONGEST)) if remaining >= 0 else None
    by, reason = (text_of(fields, name) for name in (b"by", b"reason"))
    return Pause(entry_id.decode(), moment_of(entry_id), until, by, reason)
