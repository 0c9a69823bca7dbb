"""The account that keyed handlers give of their turns: which key, for which events, from when until when.

Written by them as they go, in two lines for each turn: one when it begins, one when it ends, however it ends. A turn
without an end was cut short with its process; it lasts for as long as that process is known to have lived.
"""

import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers import DeadLetter, Delivery

__all__ = ["CUT", "DEAD", "DONE", "FAILED", "Turn", "TurnWriter", "read_turns"]

DONE, FAILED, DEAD, CUT = "done", "failed", "dead", "cut"


@dataclass(slots=True)
class Turn:
    """One call of a handler for one key: `ids` are those of all events that it stood for, its own last.

    Times are those of `time.monotonic`; `outcome` is empty where the process ended before the turn did.
    """

    key: str
    company: str
    ids: tuple[str, ...]
    start: float
    end: float
    pid: int
    attempt: int = 1
    outcome: str = ""

    @property
    def id(self) -> str:
        """The event that was handled."""
        return self.ids[-1]


class TurnWriter:
    """Notes the turns of one subscription, in a file that all its processes append to, each line in one write."""

    def __init__(self, folder: Path, subscription: str) -> None:
        self._file = os.open(_path(folder, subscription), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._numbers = itertools.count()

    @contextmanager
    def turn(self, keys: Sequence[str], deliveries: Sequence[Delivery]) -> Iterator[None]:
        """Note that the deliveries of these keys are handled for as long as the block lasts, and how it ends."""
        numbers = [next(self._numbers) for _ in keys]
        self._write([_begun(*row) for row in zip(numbers, keys, deliveries, strict=True)])
        outcome = CUT
        try:
            yield
            outcome = DONE
        except DeadLetter:
            outcome = DEAD
            raise
        except Exception:
            outcome = FAILED
            raise
        finally:
            self._write([[number, outcome] for number in numbers])

    def _write(self, rows: Sequence[list[Any]]) -> None:
        at, pid = round(time.monotonic(), 6), os.getpid()
        os.write(self._file, "".join(f"\n{json.dumps([pid, at, *row])}\n" for row in rows).encode())


def _begun(number: int, key: str, delivery: Delivery) -> list[Any]:
    ids = [*(merged.id for merged in delivery.merged), delivery.event.id]
    return [number, key, delivery.event.company_id or "", ids, delivery.attempt]


def read_turns(folder: Path, subscription: str) -> list[Turn]:
    """Return all turns of a subscription, by when they began."""
    path, turns, seen = _path(folder, subscription), dict[tuple[int, int], Turn](), dict[int, float]()
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            pid, at, number, *rest = json.loads(line)
        except ValueError:  # empty, or half a line of a killed process
            continue
        seen[pid] = max(seen.get(pid, 0.0), at)
        if len(rest) > 1:
            key, company, ids, attempt = rest
            turns[pid, number] = Turn(key, company, tuple(ids), at, 0.0, pid, attempt)
        else:
            turns[pid, number].end, turns[pid, number].outcome = at, rest[0]
    for turn in turns.values():
        turn.end = turn.end or seen[turn.pid]
    return sorted(turns.values(), key=lambda turn: turn.start)


def _path(folder: Path, subscription: str) -> Path:
    return folder / f"{subscription}.turns.jsonl"
