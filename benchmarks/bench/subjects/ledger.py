"""What a handler notes: which ids it was given, and when the first and the last came; the same for every subject.

LEDGER names the file that is written when EXPECTED ids have come, or with EXPECTED=0, when the process ends. With TIMES
it holds when each of them came.
All times are of the clock that all processes of a machine share, in nanoseconds.
"""

import atexit
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

__all__ = ["DELAY", "note"]

DELAY = float(os.environ.get("DELAY", "0")) / 1000
"""Seconds a handler is to wait, as one that asks another system does."""

_file = Path(os.environ.get("LEDGER", "ledger.json"))
_expected = int(os.environ.get("EXPECTED", "0"))
_with_times = "TIMES" in os.environ
_seen: dict[str, int] = {}
_calls = 0
_first = 0
_first_cpu = 0.0


def note(id_: str, merged: Iterable[str] = ()) -> None:
    """Take note that an event is handled, for others as well that were merged into it."""
    global _calls, _first, _first_cpu  # noqa: PLW0603
    if not _calls:
        _first, _first_cpu = time.monotonic_ns(), time.process_time()
    _calls += 1
    _seen.update(dict.fromkeys((*merged, id_), time.monotonic_ns() if _with_times else 0))
    if len(_seen) >= _expected > 0:
        _write()


def _write() -> None:
    last, cpu = time.monotonic_ns(), time.process_time() - _first_cpu
    outcome = {"first": _first, "last": last, "calls": _calls, "cpu": cpu, "ids": _seen if _with_times else [*_seen]}
    part = _file.with_suffix(".part")
    part.write_text(json.dumps(outcome))
    part.rename(_file)


if not _expected:
    atexit.register(_write)
