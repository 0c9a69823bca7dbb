"""The handlers' own account of what they handled: written by them as they go, read back while they run and afterwards.

Times are those of `time.monotonic`, which all processes of one machine share and no wrong clock touches.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Handling", "Ledger", "Writer"]


class Handling(NamedTuple):
    """One event handled to its end: when, by which process, at which attempt; 0 where it was merged into another."""

    at: float
    pid: int
    attempt: int


class Writer:
    """Notes what one subscription handled, in a file that all its processes append to."""

    def __init__(self, folder: Path, subscription: str) -> None:
        self._file = os.open(folder / f"{subscription}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, handled: Iterable[tuple[str, int]]) -> None:
        """Write down (id, attempt) pairs, in one write, so that lines of several processes never mix.

        Each line begins with a line break too: half a line that a killed process left spoils none but itself.
        """
        at, pid = time.monotonic(), os.getpid()
        lines = (f"\n{json.dumps([id_, round(at, 4), pid, attempt])}\n" for id_, attempt in handled)
        os.write(self._file, "".join(lines).encode())


class Ledger:
    """What the handlers of all subscriptions wrote into a folder: by subscription and id, in the order of writing."""

    def __init__(self, folder: Path, subscriptions: Iterable[str]) -> None:
        self.folder = folder
        self.handled: dict[str, dict[str, list[Handling]]] = {name: {} for name in subscriptions}
        self.latest: dict[tuple[str, int], float] = defaultdict(float)
        """When each subscription last handled something in each process: (subscription, pid) to time."""
        self._read: dict[str, int] = defaultdict(int)
        self._rest: dict[str, bytes] = defaultdict(bytes)

    def refresh(self) -> None:
        """Read what was written since the last time."""
        for subscription in self.handled:
            path = self.folder / f"{subscription}.jsonl"
            if path.exists():
                with path.open("rb") as file:
                    file.seek(self._read[subscription])
                    self._take(subscription, file.read())

    @property
    def total(self) -> int:
        """How many events were handled, for all subscriptions together."""
        return sum(map(len, self.handled.values()))

    def last_handled(self, subscription: str, pid: int | None = None) -> float:
        """Return when a subscription last handled something, anywhere or in one process; 0 for never."""
        times = [at for (name, by), at in self.latest.items() if name == subscription and pid in (None, by)]
        return max(times, default=0.0)

    def _take(self, subscription: str, data: bytes) -> None:
        self._read[subscription] += len(data)
        *lines, self._rest[subscription] = (self._rest[subscription] + data).split(b"\n")
        for line in filter(None, lines):
            try:
                id_, at, pid, attempt = json.loads(line)
            except ValueError:  # half a line of a killed process
                continue
            self.handled[subscription].setdefault(id_, []).append(Handling(at, pid, attempt))
            self.latest[subscription, pid] = max(self.latest[subscription, pid], at)
