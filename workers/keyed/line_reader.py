"""Reading the lines: claims keys that are ready, and waits for word where there are none."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

from router.store.errors import STORE_ERRORS
from router.store.keys import LINES
from router.store.lines import Claim, Lines
from router.store.read_connection import ReadConnection
from router.store.reading import Pager
from router.store.record import REASON
from router.store.scripts import BATCH
from router.tasks.backoff import Backoff
from workers.consuming.context import Context
from workers.consuming.pace import Pace
from workers.delivery import Held
from workers.keyed.entry import LineHeld
from workers.keyed.fingerprint import fingerprint

_FIRST = 32
"""Keys to claim at most at first, when nothing is known of the size of events."""
_LONGEST = 15.0
"""Seconds to wait for word before claiming all the same: another worker may have known of a retry, and have died."""

_EARLY = 0.05
"""Seconds by which the end of a wait may come before its time; before that, somebody has ended it."""
_CLAIMED = ("ready", "due", "quiet", "running", "stopped")
"""What a claim looks at, by the names of LINES."""

_OF_ANOTHER_RULE = 2
"""What a claim says in place of whether events are brought, where it may have no key."""


class LineReader:
    """Claims from the lines of a subscription, at the pace of its consumer, and hands that to `put`.

    What was claimed to be a dead letter goes to `finish`, and what is of a stream that the subscription's events leave
    out to `put_aside`. `ask_to_lead` is called when nobody brings events.
    """

    def __init__(
        self,
        context: Context,
        lines: Lines,
        worker: str,
        pace: Pace,
        put: Callable[[list[Held]], None],
        finish: Callable[[LineHeld], None],
        put_aside: Callable[[LineHeld], None],
        ask_to_lead: Callable[[], None],
    ) -> None:
        self._context = context
        self._lines = lines
        self._tokens = (f"{worker}{number}/" for number in count())
        self._pace = pace
        self._pager = Pager(most=BATCH, first=_FIRST)
        self._put = put
        self._finish = finish
        self._put_aside = put_aside
        self._streams = frozenset(context.streams)
        self._ask_to_lead = ask_to_lead
        self._connection = ReadConnection(context.store, lines.wake, _LONGEST)
        self._keying = fingerprint(context.subscription.key)
        self._is_left_out = False
        self._seen = "0-0"
        self._wait_until = 0.0
        self._unsure: str | None = None
        self._stopping = False
        self.has_read = asyncio.Event()
        """Set once the lines have been asked for the first time."""
        self._delivered = context.metrics.delivered.labels(context.group)

    async def run(self) -> None:
        """Claim until stopped, whatever happens to the store."""
        context = self._context
        backoff = Backoff(context.random)
        while not self._stopping:
            try:
                await self._pace.wait_for_room()
                await self._read()
                backoff.reset()
                context.outage.over("claiming")
            except STORE_ERRORS as error:
                context.outage.failed("claiming", error)
                await asyncio.sleep(backoff.next())
        await self._leave()
        await self._connection.aclose()

    async def _leave(self) -> None:
        """Give back what a claim may have got without our knowing, at the first try; else the lease does it."""
        try:
            await self._be_sure()
        except STORE_ERRORS as error:
            self._context.outage.failed("giving keys back", error)

    async def stop(self) -> None:
        """Make `run` return soon; to be called again until it has."""
        self._stopping = True
        self._pace.stop()
        await self.interrupt()

    async def interrupt(self) -> None:
        """End the wait under way."""
        await self._connection.unblock()

    async def _read(self) -> None:
        if not self._stopping and not await self._claim():
            await self._wait()

    async def _claim(self) -> bool:
        """Claim as many keys as there is room for; return whether there may be more."""
        context = self._context
        await self._be_sure()
        room = max(1, min(self._pager.count, self._pace.count(self, 1)))
        lease = round(context.settings.lease * 1000)
        token = self._unsure = next(self._tokens)
        limit = context.subscription.per_company or 0
        call = self._lines.claim(token, room, lease, per_company=limit, keying=self._keying)
        asked_at = context.monotonic()
        rows, wait, seen, taken_back, led = await context.store.call(call)
        self._unsure = None
        self._wait_until = context.monotonic() + (_LONGEST if wait < 0 else min(_LONGEST, wait / 1000))
        self._seen = seen.decode()
        items = [self._held(token, row, asked_at) for row in rows]
        self._pager.took([(held.entry_id, held.fields) for held in items])
        self._take(items)
        if taken_back:
            context.metrics.recovered.labels(context.group).inc(taken_back)
            context.log.warning("keys_taken_back", keys=taken_back)
        if not led:
            self._ask_to_lead()
        self._note_rule(is_ours=led != _OF_ANOTHER_RULE)
        self.has_read.set()
        return len(rows) == room

    def _note_rule(self, *, is_ours: bool) -> None:
        if self._is_left_out == is_ours:
            self._is_left_out = not is_ours
            event = "keys_made_by_our_rule" if is_ours else "waits_while_keys_are_of_another_rule"
            self._context.log.warning(event, rule=self._keying)

    async def _be_sure(self) -> None:
        """Give back what a claim got whose reply was lost."""
        if self._unsure is not None:
            await self._context.store.call(self._lines.abandon(self._unsure, charged=False))
            self._unsure = None

    def _held(self, token: str, row: list[Any], asked_at: float) -> LineHeld:
        key, ref, crashes, body, others = row
        clock = self._context.clock()
        return LineHeld(Claim(key, token), ref, body or b"", crashes, others, now=asked_at, clock=clock)

    def _take(self, items: list[LineHeld]) -> None:
        if not items:
            return
        self._context.in_hand.add(items)
        self._delivered.inc(len(items))
        self._pace.was_read(self, 1, len(items))
        for held in items:
            if REASON in held.fields:
                self._finish(held)
            elif held.stream not in self._streams:
                self._put_aside(held)
        self._put([held for held in items if REASON not in held.fields and held.stream in self._streams])

    async def _wait(self) -> None:
        """Return when there is word of something, or when something becomes due."""
        monotonic = self._context.monotonic
        while (seconds := min(_LONGEST, self._wait_until - monotonic())) > 0:
            block = max(1, int(seconds * 1000))
            word = await self._connection.run("XREAD", "BLOCK", block, "STREAMS", self._lines.wake, self._seen)
            is_asked = self._stopping or self._pace.is_paused or monotonic() < self._wait_until - _EARLY
            if word or is_asked or await self._has_something():
                return
            self._wait_until = monotonic() + _LONGEST

    async def _has_something(self) -> bool:
        """Return whether the lines have anything that a claim would look at: most of the time they are empty."""
        places = (self._lines.keys[LINES.index(name)] for name in _CLAIMED)
        return bool(await self._context.store.command("EXISTS", *places))
