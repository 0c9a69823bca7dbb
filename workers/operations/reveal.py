"""Seeing the values of raw bodies, which the audit keeps: who saw which."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from router.store.client import Store
from workers.operations.audit import MATCHED, Deed, accounted, record

_REVEAL = "reveal"


async def revealed(store: Store, raw: bytes, *, subject: str, actor: str | None = None) -> str:
    """Return the body of `subject` as text, once the audit has a line of who saw it: `actor`, or this process's user.

    Raises StoreUnavailable, and NotAudited where the line is refused.
    """
    await record(store, Deed(_REVEAL, subject, actor=actor or ""), {MATCHED: 1}, strictly=True)
    return raw.decode(errors="backslashreplace")


@asynccontextmanager
async def revealing(
    store: Store, subject: str, selector: Mapping[str, Any], *, reveal: bool
) -> AsyncIterator[Counter[str]]:
    """Yield the counts of what is listed; where values are revealed, the audit has a line before, and how many after.

    The caller counts MATCHED. Raises as `revealed` does.
    """
    counts: Counter[str] = Counter()
    if not reveal:
        yield counts
        return
    async with accounted(store, Deed(_REVEAL, subject, selector), counts, strictly=True):
        yield counts
