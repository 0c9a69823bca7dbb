"""The records of one tenant, with their versions and the times of their last change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["Books", "Entry", "Page", "stamp"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record; `modified` in epoch seconds."""

    body: Any
    version: int
    modified: float

    @property
    def etag(self) -> str:
        """Its version, as a header has it."""
        return f'"{self.version}"'


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a sweep, and how many records there are in all."""

    entries: Mapping[str, Entry]
    total: int


class Books:
    """The records of one tenant by their paths, `v1/customer/55555`; `clock` in epoch seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._deleted: set[str] = set()
        self._versions = 0

    def get(self, path: str) -> Entry | None:
        """Return a record; None where there is none."""
        return self._entries.get(path)

    def put(self, path: str, body: Any) -> Entry:
        """Make or change a record, as somebody in the ERP does."""
        self._versions += 1
        self._deleted.discard(path)
        entry = self._entries[path] = Entry(body, self._versions, self._clock())
        return entry

    def delete(self, path: str) -> None:
        """Delete a record, which is not invented again."""
        self._entries.pop(path, None)
        self._deleted.add(path)

    def invent(self, path: str) -> Entry | None:
        """Return a record, made on the spot where there was never one."""
        if path in self._deleted or (entry := self.get(path)) is not None:
            return None if path in self._deleted else entry
        number = path.rpartition("/")[2]
        return self.put(path, {"number": number, "name": f"{path.split('/')[1].capitalize()} {number}"})

    def sweep(self, collection: str, since: float | None, *, after: bool, number: int, size: int) -> Page:
        """Return a page of a collection, the first is 1, in the order of its paths as it is now.

        since: epoch seconds of the last change from which on records are listed; with `after` later ones only.
        """
        found = {
            path: entry
            for path, entry in sorted(self._entries.items())
            if path.startswith(f"{collection}/") and _is_due(entry, since, after=after)
        }
        start = (number - 1) * size
        return Page(dict(list(found.items())[start : start + size]), len(found))


def _is_due(entry: Entry, since: float | None, *, after: bool) -> bool:
    modified = round(entry.modified, 3)  # as `stamp` writes it
    return since is None or modified > since or (modified == since and not after)


def stamp(modified: float) -> str:
    """Write a time as the ERP does, without a zone."""
    return datetime.fromtimestamp(modified, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
