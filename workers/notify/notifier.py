"""One notifier at work: waits for notices, and has them handed over.

One process of all does it at any time, by a lease. Nothing waits for it: it has a task, connections and time-outs of
its own. A process that dies between a message and its note in the store leaves it to be sent once more, with its id.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from random import Random

from config.errors import described
from config.notify import NotifySettings
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.store.leases import Lease, LeaseLost
from router.tasks.outage import Reminder
from router.telemetry import logs
from workers.notify.delivery import MOST, Delivery
from workers.notify.metrics import NotifyMetrics
from workers.notify.opening import OpenChannel, channel_of
from workers.notify.pace import Pace
from workers.notify.reading import Entry, Notices

__all__ = ["Notifier"]

_log = logs.get("notify")


class Notifier:
    """Runs until it is cancelled; `clock` in epoch seconds, `monotonic` in seconds.

    sent: what the notifier before this one has handed over, and the store may not know.
    """

    def __init__(
        self,
        settings: NotifySettings,
        store: Store,
        metrics: NotifyMetrics,
        *,
        open_channel: OpenChannel = channel_of,
        pace: Pace | None = None,
        random: Random | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sent: Iterable[str] = (),
    ) -> None:
        self._settings = settings
        self._store = store
        self._open_channel = open_channel
        self._pace = pace or Pace()
        self._random = random or Random()  # noqa: S311 - jitter
        self._clock = clock
        self._monotonic = monotonic
        self._lease = Lease(store, store.keys.notifying(settings.name), self._pace.lease)
        self._delivery = Delivery(settings, store, metrics, self._pace, self._random, clock)
        self._reminder = Reminder(monotonic)
        self._sent = set(sent)
        """The entries that are handed over, and of which the store may not know that."""
        self._next_at = 0.0
        metrics.show(settings.name)

    @property
    def sent(self) -> frozenset[str]:
        """The entries that are handed over, which the notifier that follows this one says to the store."""
        return frozenset(self._sent)

    async def run(self) -> None:
        """Notify whenever this process has the lease."""
        while True:
            pause = await self._turn()
            await asyncio.sleep(pause)

    async def _turn(self) -> float:
        """Take the lease and notify while it lasts; return in how many seconds to try again."""
        name, span = self._settings.name, self._pace.lease
        try:
            async with self._lease.held() as is_ours:
                if is_ours:
                    await self._lease.renewed(self._work())
            self._reminder.over()
        except (LeaseLost, *STORE_ERRORS) as error:
            if self._reminder.is_due():
                _log.warning("notifier_put_off", notifier=name, error=described(error))
            return self._random.uniform(span / 15, span / 5)
        except Exception:  # noqa: BLE001 - events are handled, whether anybody is notified or not
            _log.exception("notifier_broken", notifier=name)
            return span
        return self._random.uniform(span / 3, span / 2)

    async def _work(self) -> None:
        notices = Notices(self._store, self._settings.name, self._pace.block)
        try:
            await notices.begin(int(self._clock() * 1000))
            async with self._open_channel(self._settings) as channel:
                while True:
                    if entries := await self._next(notices):
                        said = self._delivery.wants(entries)
                        self._sent.update(await self._delivery.deliver(entries, channel, notices))
                        if said:
                            self._next_at = self._monotonic() + self._settings.every
                        await self._done(notices)
        finally:
            await notices.aclose()

    async def _next(self, notices: Notices) -> Sequence[Entry]:
        """Return what to say next: what was left over, else what comes, and what else comes with it.

        Nothing joins what was left over: that may have been said by a process that died then, and with just the same
        notices it has the same id.
        """
        await self._done(notices)
        held = await notices.held(MOST)
        entries = held or await notices.waited()
        if self._delivery.wants(entries):
            await asyncio.sleep(max(0.0 if held else self._pace.gather, self._next_at - self._monotonic()))
            if not held:
                entries += await notices.more(MOST - len(entries))
        return entries

    async def _done(self, notices: Notices) -> None:
        if self._sent:
            await notices.done(sorted(self._sent))
            self._sent.clear()
