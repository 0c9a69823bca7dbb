"""What the watcher writes down under its lease, and reads again when another worker goes on: its ledger, and counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from config.silence import SilenceSettings
from router.store.client import Store
from router.store.errors import forgiven
from router.store.leases import Lease
from router.store.reading import checked, named_values
from workers.silence.ledger import Ledger
from workers.silence.profile import Profile

__all__ = ["Kept", "Notebook"]

_STATE: Final = b"="
"""The field beside those of the subjects; no subject is named so."""


@dataclass(slots=True)
class Kept:
    """What else is remembered: `folded` as in the ledger, `listened` when an ingress was last seen to (epoch ms).

    dead: for each subscription how many dead letters there were, since when they grow, and when they last did; None
    before the first look.
    """

    folded: int
    listened: int = 0
    dead: dict[str, list[int]] | None = None


class Notebook:
    """The hash `learnt`; every method raises StoreUnavailable, and `write` LeaseLost."""

    def __init__(self, store: Store, lease: Lease, settings: SilenceSettings) -> None:
        self._store = store
        self._lease = lease
        self._settings = settings
        self._key = store.keys.learnt()
        self._written = b""

    async def read(self, hour: int) -> tuple[Ledger, Kept]:
        """Return what is known; where nothing is, a ledger that begins with this hour (since 1970)."""
        (found,) = checked(forgiven(await self._store.commands([("HGETALL", self._key)]), [self._key], {}))
        self._written = b""
        fields: Mapping[bytes, bytes] = named_values(found)
        kept = _kept(fields.get(_STATE, b""), hour)
        ledger = Ledger(self._settings, kept.folded)
        for name, text in fields.items():
            if name != _STATE and (profile := Profile.of(text)) is not None:
                ledger.profiles[name.decode(errors="replace")] = profile
        return ledger, kept

    async def write(self, ledger: Ledger, kept: Kept) -> None:
        """Write down what has changed."""
        gone = ledger.forget()
        kept.folded = ledger.folded
        profiles = {name: ledger.profiles[name].packed() for name in ledger.changed if name in ledger.profiles}
        # The state comes last: what is written half is taken note of once more, which does little harm.
        await self._lease.note(self._key, profiles, gone)
        if (state := msgspec.json.encode(kept)) != self._written:
            await self._lease.note(self._key, {_STATE.decode(): state})
        self._written = state
        ledger.changed.clear()


def _kept(text: bytes, hour: int) -> Kept:
    try:
        return msgspec.json.decode(text, type=Kept)
    except msgspec.MsgspecError:
        return Kept(hour)
