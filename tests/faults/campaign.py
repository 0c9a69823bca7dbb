"""A run of faults on a fleet under load, one after the other, each followed by a look at how the system recovers."""

import asyncio
import time
from collections.abc import Callable
from random import Random
from typing import Any

from faults.faults import FAULTS
from faults.fleet import KEYED, MEANT_TO_DIE, Fleet
from faults.happening import Explainer, Happening
from faults.keyed_verdict import judge
from faults.outcome import Outcome
from faults.recovery import until_recovered
from faults.report import fault_line
from faults.starvation import watch_starvation
from faults.turns import read_turns
from faults.verdict import compare

__all__ = ["Campaign", "Say"]

_LONGEST = 300.0
"""Seconds that making a fault may take, on the slowest machine."""

Say = Callable[[str], None]


class Campaign:
    """Makes faults on a fleet and keeps the record; `say` gets a line for each."""

    def __init__(self, fleet: Fleet, *, name: str, seed: int, say: Say) -> None:
        self.fleet = fleet
        self.seed = seed
        self.happenings: list[Happening] = []
        self.starved: list[Happening] = []
        self.hands: list[str] = []
        self.failures: list[str] = []
        self.figures: dict[str, Any] = {}
        self.memory: list[dict[str, int]] = []
        self.began = time.monotonic()
        self._name = name
        self._say = say
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the fleet; the run begins when it is at work."""
        await self.fleet.start()
        self.began = time.monotonic()
        self._watch = asyncio.create_task(watch_starvation(self.fleet.workers, self.starved.append))

    def begin(self, name: str) -> Happening:
        """Note that a fault begins."""
        self.happenings.append(Happening(name, began=time.monotonic()))
        return self.happenings[-1]

    def demand(self, condition: object, failure: str) -> None:
        """Note a failure unless something holds."""
        if not condition:
            self.failures.append(failure)

    async def make(self, name: str, random: Random) -> None:
        """Make a fault, and wait until the system has recovered from it."""
        happening = self.begin(name)
        async with asyncio.timeout(_LONGEST):  # lest a fault of the suite itself hang it
            await FAULTS[name](self.fleet, random, happening)
        await self.recover(happening)

    async def recover(self, happening: Happening) -> None:
        """Note that a fault is over, and how long the recovery takes; raises what a sender broke with."""
        happening.ended = time.monotonic()
        recovery = await until_recovered(self.fleet, happening.ended)
        happening.recovered, happening.whole = recovery.first, recovery.whole
        self._say(fault_line(happening, self.began))
        self.hands += [f"{part} did not go on after: {happening.fault}" for part in recovery.missing]
        if broken := self.fleet.load.broken():
            raise broken

    def note_memory(self) -> None:
        """Note what the processes hold of memory now."""
        sizes = {member.name: member.memory() for member in self.fleet.members}
        self.memory.append({name: size for name, size in sizes.items() if size is not None})

    async def conclude(self, *, since: float = 0.0) -> Outcome:
        """Let everything come to its end, end the processes, and compare; what was sent before `since` may be lost."""
        fleet, seconds = self.fleet, time.monotonic() - self.began
        stored = await fleet.settle()
        await self.end()
        explainer = Explainer([*self.starved, *self.happenings])
        verdict = compare(
            fleet.journal,
            fleet.ledger,
            stored,
            meant_to_die=MEANT_TO_DIE,
            explain=explainer,
            redelivered={name for happening in self.happenings for name, _ in happening.destroyed},
            since=since,
        )
        for name in filter(KEYED.get, fleet.subscriptions):
            turns = read_turns(fleet.ledger.folder, name)
            judge(
                *(verdict, name, turns, KEYED[name]),
                journal=fleet.journal,
                stored=stored,
                explainer=explainer,
                since=since,
            )
        return Outcome(
            self._name,
            self.seed,
            seconds,
            self.happenings,
            verdict,
            starved=self.starved,
            answers=dict(fleet.journal.answers),
            hands=[*self.hands, *fleet.surprises()],
            memory=self.memory,
            figures=self.figures,
            failures=self.failures,
        )

    async def end(self) -> None:
        """End everything that runs."""
        if self._watch is not None:
            self._watch.cancel()
        await self.fleet.end()
