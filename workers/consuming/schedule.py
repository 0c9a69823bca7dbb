"""The schedule of retries: sleeps until the next one is due, then moves what is due into the inbox."""

import asyncio
from collections.abc import Sequence

from router.store import scripts
from router.store.errors import STORE_ERRORS
from router.tasks.backoff import Backoff
from router.tasks.ending import set_within
from workers.consuming.context import Context

_INBOX_ROOM = 1000
"""Deliveries an inbox may hold before due retries wait: a crowd of them must not bury the new events' reader."""
_FULL_PAUSE = 0.25
"""Seconds until a full inbox is looked at again."""
_REFUSED_PAUSE = 1.0
"""Seconds until a stream whose retries the store refuses to move, while it moves others, is tried again."""
_RESCHEDULED = 10.0
"""Seconds until retries that were parked in the future are looked at again."""
_NOTHING, _FULL = -1, -2


class Schedule:
    """Knows for each stream when its next retry is due (monotonic seconds); asks the store at the start."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._due: dict[str, float] = {}
        self._reschedule_at: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._paused = False
        self.look_everywhere()

    def look_everywhere(self) -> None:
        """Ask the store about all streams soon: others may have scheduled retries that nobody watches now."""
        self._due.update(dict.fromkeys(self._context.streams, 0.0))
        self._changed.set()

    def pause(self) -> None:
        """Promote nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Promote what has become due, and go on."""
        self._paused = False
        self._changed.set()

    @property
    def watching(self) -> bool:
        """Whether retries are known to be scheduled; 0 is a stream that was not looked at yet."""
        return any(self._due.values())

    def scheduled(self, stream: str, seconds: float) -> None:
        """Take note of a retry due in `seconds`."""
        due = self._context.monotonic() + seconds
        if due < self._due.get(stream, float("inf")):
            self._due[stream] = due
            self._changed.set()

    async def run(self) -> None:
        """Promote what is due, when it is due, until cancelled."""
        context = self._context
        backoff = Backoff(context.random)
        while True:
            now = context.monotonic()
            ready = [stream for stream, due in self._due.items() if due <= now]
            if not ready or self._paused:
                await self._sleep()
                continue
            try:
                await self.promote(ready)
                backoff.reset()
                context.outage.over("promoting")
            except STORE_ERRORS as error:
                context.outage.failed("promoting", error)
                await asyncio.sleep(backoff.next())

    async def promote(self, streams: Sequence[str]) -> None:
        """Move what is due in these streams, and learn when their next retry is due.

        Raises the store's error when it refuses all of them; a single one waits apart and holds up no other.
        """
        context, keys, group = self._context, self._context.keys, self._context.group
        # Forgotten before the store is asked: a retry scheduled while the answer is under way is then kept.
        asked = {stream: self._due.pop(stream, 0.0) for stream in streams}
        calls = [
            scripts.promote(keys.due(stream, group), keys.parked(stream, group), keys.inbox(stream, group), _INBOX_ROOM)
            for stream in streams
        ]
        try:
            replies = await context.store.run(calls)
        except BaseException:
            self._due = {**asked, **self._due}
            raise
        failed = [reply for reply in replies if isinstance(reply, BaseException)]
        for stream, reply in zip(streams, replies, strict=True):
            if isinstance(reply, BaseException):
                self.scheduled(stream, 0 if len(failed) == len(streams) else _REFUSED_PAUSE)
            elif reply[2:] and await self._reschedule(stream):
                self.scheduled(stream, 0)
            elif (wait := reply[1]) != _NOTHING:
                self.scheduled(stream, _FULL_PAUSE if wait == _FULL else wait / 1000)
        if len(failed) == len(streams):
            raise failed[0]
        if failed:
            context.log.error("promote_refused", error=str(failed[0]), streams=len(failed))

    async def _reschedule(self, stream: str) -> bool:
        """Bring nearer what was parked while the store's clock was ahead; return False where that was done just now."""
        context, now = self._context, self._context.monotonic()
        if now < self._reschedule_at.get(stream, 0.0):
            return False
        self._reschedule_at[stream] = now + _RESCHEDULED
        context.log.warning("store_clock_set_back", stream=stream)
        due, parked, start = context.keys.due(stream, context.group), context.keys.parked(stream, context.group), ""
        while last := await context.store.call(scripts.reschedule(due, parked, start)):
            start = f"({last.decode()}"
        return True

    async def _sleep(self) -> None:
        self._changed.clear()
        timeout = None
        if self._due and not self._paused:
            timeout = max(0.0, min(self._due.values()) - self._context.monotonic())
        await set_within(timeout, self._changed)
