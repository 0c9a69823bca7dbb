"""The scripts of a sweep, and the keys of what it keeps: one hash tag for each reconciliation."""

from collections.abc import Mapping, Sequence
from functools import cache

from router.store.keys import Keys
from router.store.scripts import BATCH, Call, Field, Script, lease

__all__ = ["Kept"]

_script = cache(Script)


class Kept:
    """What is kept of one company's sweeps, as the sweep `token` writes it."""

    def __init__(self, keys: Keys, reconciliation: str, company: str, token: str) -> None:
        self.state = keys.swept(reconciliation, company)
        self.judged = keys.judged(reconciliation, company)
        self.records = keys.known_records(reconciliation, company)
        self._lease = keys.sweeping(reconciliation, company)
        self._token = token

    def lease(self, milliseconds: int) -> Call:
        """Take the lease or renew it; 0 gives it up. Reply: whether it is this sweep's."""
        return lease(self._lease, self._token, milliseconds)

    def notes(self, key: str, values: Mapping[str, Field], gone: Sequence[str] = ()) -> list[Call]:
        """Set fields of one of the hashes, and remove others. Reply of each: whether the lease is this sweep's."""
        pairs = list(values.items())
        sets = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]
        gaps = [gone[start : start + BATCH] for start in range(0, len(gone), BATCH)]
        calls = [self._note(key, [part for pair in some for part in pair], ()) for some in sets]
        return [*calls, *(self._note(key, (), some) for some in gaps)]

    def _note(self, key: str, sets: Sequence[Field], gone: Sequence[Field]) -> Call:
        return Call(_script("reconcile/note"), (self._lease, key), (self._token, len(sets), *sets, *gone))
