"""Points in the work of a keyed worker at which a process stops itself where it is asked to, so that faults can hit it.

Who asks writes a file; the first process that comes to the point takes it, writes down who it is, and stops.
"""

import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["POINTS", "Point", "stop_where_asked"]

POINTS = ("between the hops", "before the burial", "after the burial")
"""An event is in its line, and its stream has not moved on; one is noted to be dead, and is no dead letter; and it is
one, and is in its line still."""


class Point:
    """One of the points, for all processes whose ledgers are in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._asked = folder / f"stop {name}"
        self._stopped = folder / f"stopped {name}"

    def ask(self) -> None:
        """Ask the next process that comes to the point to stop."""
        self._asked.touch()

    def stopped(self) -> int | None:
        """Return the process that has stopped, once, if there is one."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(self._stopped.read_text())
            self._stopped.unlink()
            return pid
        return None

    def come(self) -> None:
        """Stop this process if it is asked to."""
        mine = self._asked.with_name(f"{self._asked.name} {os.getpid()}")
        try:
            self._asked.rename(mine)
        except FileNotFoundError:
            return
        mine.write_text(str(os.getpid()))
        mine.rename(self._stopped)
        os.kill(os.getpid(), signal.SIGSTOP)


def stop_where_asked(folder: Path) -> None:
    """Make this process come to the points as it works."""
    from workers.consuming.settler import Settler  # noqa: PLC0415 - only workers that are to stop need them
    from workers.keyed.mover import Mover  # noqa: PLC0415

    hops, before, after = (Point(folder, name) for name in POINTS)
    move_on: Callable[..., Awaitable[None]] = Mover._move_on
    take: Callable[..., Sequence[Any]] = Settler._take

    async def come_and_move_on(mover: Mover, entries: Any) -> None:
        hops.come()
        await move_on(mover, entries)

    def come_and_take(settler: Settler) -> Any:
        steps = take(settler)
        for step in steps:
            if step.call.script.name == "bury":
                before.come()
            elif step.outcome == "dead" and step.call.script.name == "lines/settle":
                after.come()
        return steps

    Mover._move_on = come_and_move_on  # type: ignore[assignment, method-assign]
    Settler._take = come_and_take  # type: ignore[assignment, method-assign]
