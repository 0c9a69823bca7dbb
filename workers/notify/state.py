"""How a notifier fares, as the process that has its lease writes it down, and as commands show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from config.notify import NotifySettings
from router.store.client import Store
from router.store.errors import forgiven, is_no_group
from router.store.reading import checked, named_values
from router.store.scripts import Field
from router.store.watched.incidents import group_of

__all__ = ["NotifierState", "failed", "note", "place_of", "read_states", "sent"]

_ERROR: Final = 300


@dataclass(frozen=True, slots=True)
class NotifierState:
    """One notifier; times in epoch milliseconds, 0 for never.

    waiting: how many notices are not handed over, None where no process has read them yet, or nobody knows.
    """

    settings: NotifySettings
    waiting: int | None = None
    sent_at: int = 0
    failed_at: int = 0
    failures: int = 0
    error: str = ""

    @property
    def state(self) -> str:
        """One word: `new`, `failing` or `ok`."""
        if self.failures:
            return "failing"
        return "ok" if self.sent_at or self.waiting is not None else "new"


def place_of(settings: NotifySettings) -> str:
    """Return where a notifier sends to, as it may be shown: of a URL its host, of mail the addresses."""
    if settings.url is not None:
        return urlsplit(settings.url.get_secret_value()).netloc
    return ", ".join(settings.to)


def sent(now: int, warning: str) -> Mapping[str, Field]:
    """Return what to write down of a message that was taken."""
    return {"sent_at": now, "failures": 0, "error": warning[:_ERROR]}


def failed(now: int, failures: int, error: str) -> Mapping[str, Field]:
    """Return what to write down of one that was not, `failures` times in a row by now."""
    return {"failed_at": now, "failures": failures, "error": error.encode(errors="replace")[:_ERROR]}


async def note(store: Store, notifier: str, fields: Mapping[str, Field]) -> None:
    """Write down how a notifier fares; raises StoreUnavailable."""
    pairs = [part for pair in fields.items() for part in pair]
    await store.command("HSET", store.keys.notified(notifier), *pairs)


async def read_states(store: Store, notifiers: Sequence[NotifySettings]) -> list[NotifierState]:
    """Return how notifiers fare, in their order; raises StoreUnavailable."""
    keys = store.keys
    names = [keys.notified(each.name) for each in notifiers]
    *kept, groups = await store.commands([*(("HGETALL", key) for key in names), ("XINFO", "GROUPS", keys.notices())])
    waiting = {} if is_no_group(groups) else _waiting(checked([groups])[0])
    values = checked(forgiven(kept, names, {}))
    return [_state(each, named_values(found), waiting) for each, found in zip(notifiers, values, strict=True)]


def _waiting(rows: Sequence[Any]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for row in map(named_values, rows):
        lag = row.get(b"lag")
        found[row[b"name"].decode()] = None if lag is None else int(lag) + int(row[b"pending"])
    return found


def _state(settings: NotifySettings, found: Mapping[bytes, bytes], waiting: Mapping[str, int | None]) -> NotifierState:
    numbers = {name: int(found.get(name.encode(), 0)) for name in ("sent_at", "failed_at", "failures")}
    error = found.get(b"error", b"").decode(errors="replace")
    return NotifierState(settings, waiting.get(group_of(settings.name)), error=error, **numbers)
