"""Errors that differ only in their details, counted together."""

from collections.abc import AsyncIterable
from dataclasses import dataclass
from datetime import datetime

from workers.fingerprint import fingerprint_of, fold_message
from workers.operations.dead_letters.entry import DeadLetterEntry

__all__ = ["ErrorGroup", "fold_message", "grouped"]


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Dead letters of one subscription and stream that failed alike."""

    subscription: str
    stream: str
    error: str
    message: str
    count: int
    first_seen: datetime
    last_seen: datetime
    sample: str
    """The event id of the newest of them."""

    @property
    def fingerprint(self) -> str:
        """The name of what went wrong, the same for every subscription and stream."""
        return fingerprint_of(self.error, self.message)


async def grouped(letters: AsyncIterable[DeadLetterEntry]) -> list[ErrorGroup]:
    """Group dead letters by subscription, stream, class and folded message; the largest groups come first."""
    groups: dict[tuple[str, str, str, str], ErrorGroup] = {}
    async for letter in letters:
        key = (letter.subscription, letter.stream, letter.error, fold_message(letter.message))
        groups[key] = _with(groups.get(key), key, letter)
    return sorted(groups.values(), key=lambda group: (-group.count, group.subscription, group.stream))


def _with(group: ErrorGroup | None, key: tuple[str, str, str, str], letter: DeadLetterEntry) -> ErrorGroup:
    at = letter.died_at
    if group is None:
        return ErrorGroup(*key, 1, at, at, letter.event_id)
    first, last = min(group.first_seen, at), max(group.last_seen, at)
    return ErrorGroup(*key, group.count + 1, first, last, letter.event_id if at >= group.last_seen else group.sample)
