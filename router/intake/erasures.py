"""Which erasures there were: by the digest of whose data went, so that none of it comes back from elsewhere.

The spool of an ingress may hold what was received before an erasure, on a machine that nobody reaches at that moment.
"""

import time
from typing import Final, NamedTuple

import msgspec

from router.events.whose import Whose
from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked

__all__ = ["Erasures", "Noted"]

KEPT: Final = 400 * 86_400_000
"""Milliseconds for which an erasure is noted: for so long a machine with a spool may be away."""


class _Form(msgspec.Struct, omit_defaults=True):
    company: str | None = None
    tenant: str | None = None
    publisher: str | None = None


_decode = msgspec.json.Decoder(_Form).decode


class Noted(NamedTuple):
    """An erasure: whose data went, by digests, and when it was begun (epoch milliseconds)."""

    whose: Whose
    at: int


class Erasures:
    """The erasures of one store; its methods raise StoreUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = store.keys.erasures()

    async def note(self, whose: Whose) -> None:
        """Note that an erasure begins now; the same one once more counts from now on."""
        now, hashed = int(time.time() * 1000), whose.hashed
        form = _Form(hashed.company, hashed.tenant, hashed.publisher)
        added = ("ZADD", self._key, now, msgspec.json.encode(form))
        checked(await self._store.commands([added, ("ZREMRANGEBYSCORE", self._key, "-inf", f"({now - KEPT}")]))

    async def noted(self) -> list[Noted]:
        """Return all of them."""
        command = ("ZRANGEBYSCORE", self._key, "-inf", "+inf", "WITHSCORES")
        rows = checked(forgiven(await self._store.commands([command]), [self._key], []))[0]
        pairs = rows if not rows or isinstance(rows[0], list | tuple) else [*zip(rows[::2], rows[1::2], strict=True)]
        return [noted for member, score in pairs if (noted := _read(member, score))]


def _read(member: bytes, score: bytes | float) -> Noted | None:
    try:
        form = _decode(member)
    except (ValueError, RecursionError):
        return None
    if form.company is None and form.tenant is None:
        return None
    return Noted(Whose(form.company, form.tenant, form.publisher), int(float(score)))
