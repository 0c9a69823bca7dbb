"""Which steps from line to line were ever taken in some files: what makes a new one is worth mutating further."""

import sys
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any

__all__ = ["Trail"]


class Trail:
    """Watches the functions of `files`, and nothing else, while it calls something."""

    def __init__(self, files: Collection[str]) -> None:
        self._files = frozenset(files)
        self._known: set[tuple[object, int, int]] = set()
        self._found = False

    def __len__(self) -> int:
        return len(self._known)

    def is_new(self, work: Callable[[], object]) -> bool:
        """Do `work`; return whether a step was taken that was never taken before."""
        before = sys.gettrace()
        self._found = False
        sys.settrace(self._enter)
        try:
            work()
        finally:
            sys.settrace(before)
        return self._found

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Any:
        if frame.f_code.co_filename not in self._files:
            return None
        known, code, last = self._known, frame.f_code, 0

        def step(inner: FrameType, _event: str, _argument: object) -> Any:
            nonlocal last
            taken = (code, last, inner.f_lineno)
            last = inner.f_lineno
            if taken not in known:
                known.add(taken)
                self._found = True
            return step

        return step
