"""Leases: of all processes that could do something, one has it, and what it writes down meanwhile counts.

The lease and the hashes that are written under it have one hash tag.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from router.store.scripts import BATCH, Call, Field, Script, lease

__all__ = ["Lease"]

_script = cache(Script)


class Lease:
    """A lease as one process asks for it; `token` is what the store knows that process by."""

    def __init__(self, key: str, token: str) -> None:
        self._key = key
        self._token = token

    def take(self, milliseconds: int) -> Call:
        """Take the lease or renew it; 0 gives it up. Reply: whether it is (or was) this process's; 2 if it is new."""
        return lease(self._key, self._token, milliseconds)

    def notes(self, key: str, values: Mapping[str, Field], gone: Sequence[str] = ()) -> list[Call]:
        """Set fields of a hash, and remove others. Reply of each: whether the lease is this process's."""
        pairs = list(values.items())
        sets = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]
        gaps = [gone[start : start + BATCH] for start in range(0, len(gone), BATCH)]
        calls = [self._note(key, [part for pair in some for part in pair], ()) for some in sets]
        return [*calls, *(self._note(key, (), some) for some in gaps)]

    def _note(self, key: str, sets: Sequence[Field], gone: Sequence[Field]) -> Call:
        return Call(_script("note"), (self._key, key), (self._token, len(sets), *sets, *gone))
