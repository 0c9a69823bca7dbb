"""Retrying and purging what is quarantined: what is meant is looked at first, and exactly that is changed."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from config.settings import IngressSettings
from router import audit
from router.batch import Batch
from router.browse import Quarantined
from router.catalogue import Catalogue
from router.cli.console.jobs import Job
from router.durability import Confirmation
from router.quarantine import Quarantine, QuarantineSelector
from router.scripts import BATCH
from router.store import Store

__all__ = ["DONE", "Change", "Preview", "carry_out", "previewed"]

DONE = {"retry": "stored", "purge": "purged"}
"""The verbs, and what is said of a body afterwards."""

_SAMPLE = 8
_PATIENCE = 20.0  # seconds for counting


@dataclass(slots=True)
class Preview:
    """What is meant: how many bodies, whether that is all, some of them, and when the newest one came."""

    number: int = 0
    complete: bool = True
    sample: list[Quarantined] = field(default_factory=list)
    until: datetime | None = None


async def previewed(store: Store, catalogue: Catalogue, selector: QuarantineSelector) -> Preview:
    """Count what is meant; raises StoreUnavailable."""
    quarantine, seen = Quarantine(store, catalogue), Preview()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for found in quarantine.oldest(selector, await quarantine.freeze(selector)):
                seen.number += 1
                seen.until = max(found.received_at, seen.until or found.received_at)
                if len(seen.sample) < _SAMPLE:
                    seen.sample.append(found)
    except TimeoutError:
        seen.complete = False
    return seen


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done with which bodies, and why."""

    verb: str
    selector: QuarantineSelector
    reason: str = ""


async def carry_out(
    store: Store, catalogue: Catalogue, limits: IngressSettings, change: Change, actor: str, job: Job
) -> None:
    """Change what is meant, and leave a line in the audit, however it ends; raises StoreUnavailable."""
    try:
        await _change(Quarantine(store, catalogue), _appending(store, limits), change, job)
    finally:
        await audit.record(
            store,
            f"quarantine {change.verb}",
            selector=change.selector.describe(),
            matched=job.matched or 0,
            changed=job.changed,
            failed=job.failed,
            reason=change.reason,
            actor=actor,
        )


async def _change(quarantine: Quarantine, appending: Batch, change: Change, job: Job) -> None:
    batch: list[Quarantined] = []
    async for found in quarantine.oldest(change.selector, await quarantine.freeze(change.selector)):
        batch.append(found)
        if len(batch) == BATCH:
            await _step(quarantine, appending, change, batch, job)
            batch = []
    if batch:
        await _step(quarantine, appending, change, batch, job)


async def _step(quarantine: Quarantine, appending: Batch, change: Change, batch: list[Quarantined], job: Job) -> None:
    job.matched = (job.matched or 0) + len(batch)
    if change.verb == "purge":
        removed = await quarantine.purge(batch)
        job.changed += removed.changed
        job.failed += removed.failed
        return
    for tried in await quarantine.retry(batch, appending):
        if tried.outcome in ("stored", "duplicate"):
            job.changed += 1
        else:
            job.failed += 1
            job.note = f"{tried.item.entry_id} stays: {tried.why}"


def _appending(store: Store, limits: IngressSettings) -> Batch:
    """Return what appends events as ingress does, as durable as is configured."""
    window = int(limits.dedup_window * 1000)
    confirmation = Confirmation.for_level(store, limits.durability, window=window, timeout=limits.store_timeout)
    return Batch(store, window=window, confirmation=confirmation)
