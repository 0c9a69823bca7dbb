"""The random run: fault after fault as a seed has it, with wrong clocks in every process."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from faults.campaign import Campaign, Say
from faults.fleet import MODULES, Fleet
from faults.outcome import Outcome
from faults.schedule import schedule

__all__ = ["random_faults"]

_CLOCKS = 600.0
"""Seconds by which clocks are wrong at the most."""
_QUARTERS = 4


async def random_faults(
    folder: Path,
    *,
    seed: int,
    faults: int | None = None,
    seconds: float | None = None,
    fsync: str = "always",
    modules: Sequence[str] = MODULES,
    say: Say = print,
) -> Outcome:
    """Make so many faults, or for so many seconds; `fsync` is the server's `appendfsync`.

    It is over at once when something does not go on by itself.
    """
    fleet = Fleet(folder, seed=seed, clocks=_CLOCKS, fsync=fsync, modules=modules)
    campaign = Campaign(fleet, name="random faults", seed=seed, say=say)
    try:
        await campaign.start()
        for number, (name, random, calm) in enumerate(schedule(seed)):
            share = _share(number, faults, time.monotonic() - campaign.began, seconds)
            if share * _QUARTERS >= len(campaign.memory):
                campaign.note_memory()
            if share >= 1 or campaign.hands:
                break
            await asyncio.sleep(calm)
            await campaign.make(name, random)
        return await campaign.conclude()
    finally:
        await campaign.end()


def _share(number: int, faults: int | None, elapsed: float, seconds: float | None) -> float:
    """Return how much of the run is over, 1 for all."""
    return max(number / faults if faults else 0.0, elapsed / seconds if seconds else 0.0)
