"""Runs that put one promise to the test each: short in the test suite, as long as one likes from the command line."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Final

from faults.campaign import Campaign, Say
from faults.fleet import Fleet
from faults.outcome import Outcome
from faults.tiny_disk import tiny_disk
from faults.verdict import misplaced

__all__ = ["SCENARIOS", "Scenario"]

Scenario = Callable[..., Awaitable[Outcome]]

SCENARIOS: Final[dict[str, Scenario]] = {}
"""Every scenario by its name; called with a folder, `seed`, `length` (its own meaning and default) and `say`."""

_WHERE_KEYS_CHANGE_HANDS = (
    "freeze in a burial",
    "kill between the hops",
    "freeze a worker",
    "freeze between the hops",
    "kill in a burial",
    "kill a worker",
)
_CALM = 2.0
"""Seconds of undisturbed work before and after."""
_AGAIN = 2.0
"""Seconds after a flush in which new events must be handled again."""


def _scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__.replace("_", "-")] = function
    return function


@_scenario
async def redis_away(folder: Path, *, seed: int = 1, length: int = 10, say: Say = print) -> Outcome:
    """Take the server away for `length` seconds under 200 requests a second: all are answered 2xx, handled in order."""
    fleet = Fleet(folder, seed=seed, workers=1, rate=200.0, modules=("handlers.py", "in_order.py"))

    async def run(campaign: Campaign) -> None:
        await _away(campaign, length)
        await asyncio.sleep(_CALM)

    outcome = await _run("redis away", fleet, seed, say, run)
    outcome.figures["slowest answer, seconds"] = round(fleet.journal.slowest, 3)
    if others := {answer: number for answer, number in outcome.answers.items() if answer != "202"}:
        outcome.failures.append(f"not every request was answered 202: {others}")
    handled = sorted(fleet.ledger.handled["in-order"].items(), key=lambda item: item[1][0].at)
    if late := misplaced([fleet.journal.sent[id_] for id_, _ in handled]):
        outcome.failures.append(f"handled out of order: {len(late)}, such as {late[:5]}")
    return outcome


@_scenario
async def flushed(folder: Path, *, seed: int = 1, length: int = 3, say: Say = print) -> Outcome:
    """FLUSHALL, `length` times: what is sent after it is handled again within two seconds, by every subscription."""
    fleet = Fleet(folder, seed=seed)
    since = 0.0

    async def run(campaign: Campaign) -> None:
        nonlocal since
        for _ in range(length):
            happening = campaign.begin("flush the store")
            happening.flushed = True
            await fleet.command("FLUSHALL")
            since = time.monotonic()
            seconds = await _new_ones_handled(fleet, since)
            campaign.demand(seconds <= _AGAIN, f"new events were handled only {seconds:.1f} s after a flush")
            await campaign.recover(happening)
            await asyncio.sleep(_CALM)

    return await _run("store flushed", fleet, seed, say, run, since=lambda: since)


@_scenario
async def worker_restarts(folder: Path, *, seed: int = 1, length: int = 5, say: Say = print) -> Outcome:
    """SIGTERM of a worker under load, `length` times: nothing is lost and nothing is handled twice."""
    fleet = Fleet(folder, seed=seed, settings={"FAULTS_SECONDS": "0.02"})
    random = Random(f"restarts/{seed}")

    async def run(campaign: Campaign) -> None:
        for _ in range(length):
            await campaign.make("restart a worker", random)
            await asyncio.sleep(random.uniform(0.2, 0.8))

    return await _run("worker restarts", fleet, seed, say, run)


@_scenario
async def keyed(folder: Path, *, seed: int = 1, length: int = 6, say: Say = print) -> Outcome:
    """Hit workers `length` times where keys change hands: one at a time of each, in order, nothing lost."""
    fleet = Fleet(folder, seed=seed, modules=("keyed.py",))
    random = Random(f"keyed/{seed}")

    async def run(campaign: Campaign) -> None:
        for name in islice(cycle(_WHERE_KEYS_CHANGE_HANDS), length):
            await campaign.make(name, random)
            await asyncio.sleep(random.uniform(0.2, 0.8))

    return await _run("keyed", fleet, seed, say, run)


@_scenario
async def wrong_clocks(folder: Path, *, seed: int = 1, length: int = 5, say: Say = print) -> Outcome:
    """Clocks up to an hour off for `length` seconds: nothing is handled twice, and a killed worker's share is found."""
    fleet = Fleet(folder, seed=seed, clocks=3600.0)
    random = Random(f"clocks/{seed}")

    async def run(campaign: Campaign) -> None:
        await asyncio.sleep(length)
        await campaign.make("kill a worker", random)
        await campaign.make("restart a worker", random)

    return await _run("wrong clocks", fleet, seed, say, run)


@_scenario
async def lost_replies(folder: Path, *, seed: int = 1, length: int = 10, say: Say = print) -> Outcome:
    """Lose replies again and again for `length` seconds: each event is in its stream once all the same."""
    fleet = Fleet(folder, seed=seed, rate=100.0)
    random = Random(f"replies/{seed}")

    async def run(campaign: Campaign) -> None:
        happening = campaign.begin("lose replies again and again")
        happening.cut_off.add(fleet.workers[-1].pid)
        while time.monotonic() < happening.began + length:
            fleet.proxy.lose_replies()
            await asyncio.sleep(random.uniform(0.02, 0.3))
            fleet.proxy.heal()
            await asyncio.sleep(random.uniform(0.02, 0.3))
        await campaign.recover(happening)

    return await _run("lost replies", fleet, seed, say, run)


@_scenario
async def spool_full(folder: Path, *, seed: int = 1, length: int = 4, say: Say = print) -> Outcome:
    """Take the server away for `length` seconds, longer than the spool has room for: 503 then, and nothing is lost."""
    fleet = Fleet(folder, seed=seed, rate=100.0, settings={"ROUTER_INGRESS__SPOOL_MAX_BYTES": "100000"})
    return await _run("spool full", fleet, seed, say, partial(_overflow, length))


@_scenario
async def disk_full(folder: Path, *, seed: int = 1, length: int = 4, say: Say = print) -> Outcome:
    """Let the disk of the spool be full in its place: the same, and what stays on that disk is not stored twice."""
    with tiny_disk(folder / "data" / "spool", 512 * 1024) as limits:
        fleet = Fleet(folder, seed=seed, rate=100.0, settings=limits)
        return await _run("disk full", fleet, seed, say, partial(_overflow, length))


async def _overflow(length: int, campaign: Campaign) -> None:
    await _away(campaign, length)
    campaign.demand(campaign.fleet.journal.answers["503"], "the spool was never full: nothing was answered 503")
    random = Random(f"overflow/{campaign.seed}")
    for _ in range(2):  # what could not be deleted from a full disk is found again
        await campaign.make("kill an ingress", random)


async def _away(campaign: Campaign, seconds: float) -> None:
    happening = campaign.begin("take the server away")
    await campaign.fleet.server.take_down()
    await asyncio.sleep(seconds)
    await campaign.fleet.server.start()
    await campaign.recover(happening)


async def _run(
    name: str,
    fleet: Fleet,
    seed: int,
    say: Say,
    run: Callable[[Campaign], Awaitable[None]],
    since: Callable[[], float] = lambda: 0.0,
) -> Outcome:
    """Run a scenario after a time of calm."""
    campaign = Campaign(fleet, name=name, seed=seed, say=say)
    try:
        await campaign.start()
        await asyncio.sleep(_CALM)
        campaign.note_memory()
        await run(campaign)
        campaign.note_memory()
        return await campaign.conclude(since=since())
    finally:
        await campaign.end()


async def _new_ones_handled(fleet: Fleet, since: float, patience: float = 20.0) -> float:
    """Return how many seconds it took until every subscription had handled an event first sent after `since`."""
    while (seconds := time.monotonic() - since) < patience:
        fleet.ledger.refresh()
        new = [id_ for id_, sent in reversed(fleet.journal.first_sent.items()) if sent > since]
        if all(any(id_ in fleet.ledger.handled[name] for id_ in new) for name in fleet.subscriptions):
            break
        await asyncio.sleep(0.02)
    return seconds
