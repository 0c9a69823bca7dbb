"""Releasing keys that are held, and skipping the first event of keys.

A skip ends an event by the steps of a worker: the line notes that it is to be a dead letter, the dead letters get it
once, the line lets it go. Where the process dies in between, the worker or operator that has the key next goes on.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.lines import Claim
from router.store.reading import checked, refusal_of
from router.store.record import REASON
from router.store.scripts import BATCH, Call
from router.tasks.iterating import first
from workers.keyed.entry import SKIPPED, LineHeld, pack
from workers.keyed.line_moves import burial
from workers.operations.audit import CHANGED, FAILED
from workers.operations.change import Change
from workers.operations.keys.line_keys import KeySelector, LineKey, LineKeys

_LOOK_AGAIN: Final = 0.05
"""Seconds until the inboxes are looked at again."""
_WHY_NOT: Final[Mapping[Any, str]] = {
    -1: "a worker has it now",
    -2: "workers make the keys by another rule now, skip again when they have",
}
"""Why a key cannot be had, by the reply of seize.lua."""


class KeyChange(Change[LineKey]):
    """A change of the selected keys: of those that were selected at the first look, and are as they were then."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        verb: str,
        name: str,
        selector: KeySelector,
        *,
        most: int | None = None,
    ) -> None:
        super().__init__(store, verb, subject=name, selector=selector.describe(), most=most)
        self._catalogue = catalogue
        self._keys = LineKeys(store, catalogue, name)
        self._wanted = selector
        self._frozen: list[tuple[bytes, Any]] = []

    async def freeze(self) -> datetime | None:
        """Settle which keys it is about, and how each was."""
        selected = (key async for key in self._keys.select(self._wanted) if self.concerns(key))
        self._frozen = [(key.name, self.mark_of(key)) async for key in first(selected, self.most)]
        return None

    async def found(self) -> AsyncIterator[LineKey]:
        """Yield those of the keys that are still as they were."""
        for start in range(0, len(self._frozen), BATCH):
            marks = dict(self._frozen[start : start + BATCH])
            async for key in self._keys.look([*marks]):
                if self.concerns(key) and self.mark_of(key) == marks[key.name]:
                    yield key

    def subscriptions_of(self, item: LineKey) -> Sequence[str]:
        """Return the subscription."""
        del item
        return (self.subject,)

    def concerns(self, key: LineKey) -> bool:
        """Return whether there is something to change of a key."""
        raise NotImplementedError

    def mark_of(self, key: LineKey) -> Any:
        """Return what is the same as long as a key is as it was."""
        raise NotImplementedError


class Release(KeyChange):
    """Lets keys go on that are held."""

    patience: float = 5.0
    """Seconds to wait for what is replayed and on its way into the lines."""

    def concerns(self, key: LineKey) -> bool:
        """Return whether it is held."""
        return key.state == "held"

    def mark_of(self, key: LineKey) -> Any:
        """Return since when."""
        return key.since

    async def apply(self, batch: Sequence[LineKey]) -> Counter[str]:
        """Release these, once what was replayed has its place before what waits."""
        if not await self._replays_are_in():
            self.result.note("replays are on their way into the lines, which a worker has to bring: release again then")
            return Counter({FAILED: len(batch)})
        (reply,) = await self.store.run([self._keys.lines.release([key.name for key in batch])])
        self.result.refusal = refusal_of([reply]) or self.result.refusal
        if isinstance(reply, StoreRefused):
            return Counter({FAILED: len(batch)})
        return Counter({CHANGED: checked([reply])[0]})

    async def _replays_are_in(self) -> bool:
        """Wait until the inboxes have nothing, for `patience` at most; return whether they have nothing."""
        inboxes = [self.store.keys.inbox(stream, self.subject) for stream in self._catalogue.streams()]
        commands = [("XLEN", inbox) for inbox in inboxes]
        until = time.monotonic() + self.patience
        while any(isinstance(reply, int) and reply for reply in await self.store.commands(commands)):
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(_LOOK_AGAIN)
        return True


class Skip(KeyChange):
    """Makes a dead letter of the first event of keys, with what would be merged into it; their keys go on.

    That is what the next delivery would stand for: no more than `Coalesce(most=)` of the workers allows.
    A key that is held goes on, too; of one that is held without events that is all. What a worker has in hand is left
    to it, and is said to have failed.
    """

    batch = 10  # each may stand for hundreds of events
    lease: float = 30.0
    """Seconds that a key waits, where this process dies meanwhile."""

    def concerns(self, key: LineKey) -> bool:
        """Return that it does."""
        del key
        return True

    def mark_of(self, key: LineKey) -> Any:
        """Return the first event."""
        return key.ref

    async def apply(self, batch: Sequence[LineKey]) -> Counter[str]:
        """Skip the first event of each, and release what is held."""
        counts: Counter[str] = Counter()
        held = [key for key in batch if not key.events]
        waiting = [key for key in batch if key.events]
        seized = await self._seize(waiting, counts)
        buried = await self._bury(seized, _reason(self.actor, self.reason), counts)
        settled = await self._settle(buried, counts)
        names = {delivery.claim.key for delivery in settled}
        await self._release([key.name for key in waiting if key.name in names and key.state == "held"])
        counts[CHANGED] += len(settled) + await self._release([key.name for key in held])
        for key in held:
            self.result.note(f"{key.key} had no event to skip: it was only released")
        return counts

    async def _seize(self, keys: Sequence[LineKey], counts: Counter[str]) -> list[LineHeld]:
        """Claim the keys; return what there is to end."""
        lines, lease = self._keys.lines, round(self.lease * 1000)
        claims = [Claim(key.name, f"operator/{secrets.token_hex(8)}") for key in keys]
        calls = [lines.seize(claim, key.ref, lease) for claim, key in zip(claims, keys, strict=True)]
        seized = []
        for claim, key, reply in zip(claims, keys, await self._run(calls), strict=True):
            if isinstance(reply, list):
                ref, body, others = reply
                seized.append(LineHeld(claim, ref, body or b"", 0, others, now=0.0, clock=time.time()))
            elif reply != 0:
                counts[FAILED] += 1
                self.result.note(f"{key.key} stays: {_WHY_NOT.get(reply) or reply}")
        return seized

    async def _bury(self, seized: Sequence[LineHeld], reason: str, counts: Counter[str]) -> list[LineHeld]:
        """Make dead letters; return those that are. A worker ends those of which only that is noted."""
        lines = self._keys.lines
        fields = [_dead(delivery, reason) for delivery in seized]
        pairs = [*zip(seized, fields, strict=True)]
        dooms = [lines.doom(held.claim, held.entry_id, pack(held.company, parts, doomed=True)) for held, parts in pairs]
        doomed = await self._kept(pairs, await self._run(dooms), counts)
        burials = [burial(self.store.keys, self.subject, held, parts) for held, parts in doomed]
        return [held for held, _ in await self._kept(doomed, await self._run(burials), counts)]

    async def _kept(
        self, pairs: Sequence[tuple[LineHeld, Any]], replies: Sequence[Any], counts: Counter[str]
    ) -> list[tuple[LineHeld, Any]]:
        """Return those whose step was done; give the keys of the others back."""
        kept, refused = [], []
        for pair, reply in zip(pairs, replies, strict=True):
            if isinstance(reply, StoreRefused):
                refused.append(pair[0])
            elif reply:
                kept.append(pair)
        counts[FAILED] += len(refused)
        await self._run([self._keys.lines.back(held.claim) for held in refused])
        return kept

    async def _settle(self, buried: Sequence[LineHeld], counts: Counter[str]) -> list[LineHeld]:
        if not buried:
            return []
        call = self._keys.lines.settle([(held.claim, held.refs) for held in buried])
        (reply,) = await self._run([call])
        if isinstance(reply, StoreRefused):
            counts[FAILED] += len(buried)
            return []
        lost = {buried[number - 1].entry_id for number in reply}
        return [held for held in buried if held.entry_id not in lost]

    async def _release(self, names: Sequence[bytes]) -> int:
        if not names:
            return 0
        (reply,) = await self._run([self._keys.lines.release(names)])
        return reply if isinstance(reply, int) else 0

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        """Return the replies, a refusal being one; raises StoreUnavailable."""
        replies = await self.store.run(calls) if calls else []
        checked([reply for reply in replies if not isinstance(reply, StoreRefused)])
        self.result.refusal = refusal_of(replies) or self.result.refusal
        return replies


def _reason(actor: str, reason: str) -> str:
    return f"skipped by {actor}: {reason}" if reason else f"skipped by {actor}"


def _dead(held: LineHeld, reason: str) -> list[scripts.Field]:
    """Return the fields of a dead letter; what was to be one already keeps its reason."""
    if REASON in held.fields:
        return [*held.moved(), SKIPPED, "1"]
    return [*held.moved(), *held.buried(), SKIPPED, "1", REASON, reason.encode(errors="backslashreplace")]
