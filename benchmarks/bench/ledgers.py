"""What a worker has noted: read, and checked against what it was given."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bench.plan import WorkNotDone

__all__ = ["Handled", "read_ledger"]


class Handled(NamedTuple):
    """How often handlers were called, within how many seconds, with how many of processor time; when each id came.

    The times are nanoseconds of the machine's monotonic clock; 0 where they were not asked for.
    """

    calls: int
    seconds: float
    cpu: float
    times: dict[str, int]

    @property
    def rate(self) -> float:
        """Events a second, from the first handled to the last."""
        return (len(self.times) - 1) / self.seconds


def read_ledger(file: Path, expected: Iterable[str] | None) -> Handled:
    """Return what the ledger says; raises WorkNotDone unless exactly the `expected` ids were handled."""
    noted = json.loads(file.read_text())
    ids = noted["ids"]
    times: dict[str, int] = ids if isinstance(ids, dict) else dict.fromkeys(ids, 0)
    if expected is not None and (wrong := times.keys() ^ set(expected)):
        raise WorkNotDone(f"{len(wrong)} ids were not handled, or never sent, such as {min(wrong)}")
    return Handled(noted["calls"], (noted["last"] - noted["first"]) / 1e9, noted["cpu"], times)
