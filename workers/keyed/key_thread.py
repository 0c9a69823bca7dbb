"""Calling a user's key function: in a thread of its own, so that the worker goes on while it runs."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from workers.keyed.in_order import Entry
from workers.keyed.keying import Keyed, Keying

PATIENCE: Final = 10.0
"""Seconds that a key function may take for one event."""
_LOOKS: Final = 10
"""How often in that time it is looked at: one look after another without progress, since a process may be frozen."""


class KeyThread:
    """Finds keys out in a thread, one entry after the other.

    A thread cannot be stopped: one that is over its time is left to itself, its entry has an error in place of a key,
    and another thread goes on behind it.
    """

    def __init__(self, keying: Keying, name: str) -> None:
        self._keying = keying
        self._name = f"key-{name}"
        self._patience = PATIENCE
        self._executor: ThreadPoolExecutor | None = None
        self._turn = asyncio.Lock()  # who waits for the thread is not over its time

    async def keys_of(self, entries: Sequence[tuple[str, Entry]]) -> list[Keyed]:
        """Return what orders each of these entries, which are given with their streams."""
        found: list[Keyed] = []
        while len(found) < len(entries):
            async with self._turn:
                found += await self._go_through(entries[len(found) :])
            if len(found) < len(entries):
                stream, entry = entries[len(found)]
                late = f"the key function took longer than {self._patience:g} seconds"
                found.append(self._keying.without(stream, entry.fields, late))
        return found

    def close(self) -> None:
        """Leave the thread to itself; another use begins another one."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    async def _go_through(self, entries: Sequence[tuple[str, Entry]]) -> list[Keyed]:
        """Return what was found until the end, or until the thread was over its time."""
        run = _Run(self._keying, entries)
        self._executor = self._executor or ThreadPoolExecutor(1, self._name)
        ended = asyncio.get_running_loop().run_in_executor(self._executor, run.go)
        looks, seen = 0, 0
        try:
            while not ended.done() and looks < _LOOKS:
                await asyncio.wait([ended], timeout=self._patience / _LOOKS)
                looks = looks + 1 if len(run.found) == seen else 0
                seen = len(run.found)
        finally:
            run.left = not ended.done()
            if run.left:
                self.close()
        return ended.result() if ended.done() else run.found[:]


class _Run:
    """What a thread does; it ends behind the entry at which it was `left`."""

    def __init__(self, keying: Keying, entries: Sequence[tuple[str, Entry]]) -> None:
        self._keying = keying
        self._entries = entries
        self.found: list[Keyed] = []
        self.left = False

    def go(self) -> list[Keyed]:
        for stream, entry in self._entries:
            keyed = self._keying.of(stream, entry.fields)
            if self.left:
                break
            self.found.append(keyed)
        return self.found
