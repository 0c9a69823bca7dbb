"""All notifiers of a process, brought to what the settings say, and the end of those that are in no settings."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Final, Self

from config.errors import described
from config.notify import NotifySettings
from router.store.client import Store
from router.store.errors import STORE_ERRORS, is_no_group
from router.store.reading import checked, named_values
from router.store.watched.incidents import forget_notifier, notifier_of
from router.tasks.ending import end
from router.telemetry import logs
from workers.notify.metrics import NotifyMetrics
from workers.notify.notifier import Notifier
from workers.notify.opening import OpenChannel, channel_of
from workers.notify.pace import Pace

__all__ = ["Notifiers", "check_notifiers"]

_EVERY: Final = 600.0
"""Seconds between two looks at which notifiers are still wanted."""
_UNWANTED: Final = 86_400
"""Seconds after which a notifier that no process has in its settings is removed from the store."""
_log = logs.get("notify")


def check_notifiers(notifiers: Sequence[NotifySettings]) -> None:
    """Raise ConfigError, which names it, for a notifier whose channel can never be opened."""
    for each in notifiers:
        channel_of(each)


class _Running:
    """A notifier and the task that runs it."""

    def __init__(self, settings: NotifySettings, notifier: Notifier) -> None:
        self.settings = settings
        self.notifier = notifier
        self.task = asyncio.create_task(notifier.run(), name=f"notifier-{settings.name}")


class Notifiers:
    """Notifies as long as the context is open; `clock` in epoch seconds."""

    def __init__(
        self,
        notifiers: Sequence[NotifySettings],
        store: Store,
        metrics: NotifyMetrics,
        *,
        open_channel: OpenChannel = channel_of,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = Random()  # noqa: S311 - jitter
        self._make = partial(Notifier, store=store, metrics=metrics, open_channel=open_channel, pace=pace, clock=clock)
        self._wanted: Mapping[str, NotifySettings] = {each.name: each for each in notifiers}
        self._running: dict[str, _Running] = {}
        self._news = asyncio.Event()
        self._tasks = list[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        """Begin, in the background."""
        for name, settings in self._wanted.items():
            self._begin(name, settings)
        runs = [(self._follow(), "notifiers-follow"), (self._tidy(), "notifiers-tidy")]
        self._tasks = [asyncio.create_task(run, name=name) for run, name in runs]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End at once: what is under way is handed over by another process, or by the next one."""
        await end(self._tasks)
        await end([each.task for each in self._running.values()])

    def want(self, notifiers: Sequence[NotifySettings]) -> None:
        """Have the notifiers be as these settings say, soon; `check_notifiers` says whether they can be."""
        self._wanted = {each.name: each for each in notifiers}
        self._news.set()

    async def _follow(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            wanted = self._wanted
            names = {**self._running, **wanted}
            await asyncio.gather(*(self._bring(name, wanted.get(name)) for name in names))
            await self._tidied()

    async def _bring(self, name: str, wanted: NotifySettings | None) -> None:
        running = self._running.get(name)
        # A file of certificates may hold others under the same name.
        if running is not None and running.settings == wanted and not wanted.ca_file:
            return
        if running is not None:
            await end([running.task])
            del self._running[name]
        if wanted is not None:
            self._begin(name, wanted, running.notifier.sent if running else ())
        _log.info(
            "notifier_ended" if wanted is None else "notifier_changed" if running else "notifier_begun", notifier=name
        )

    def _begin(self, name: str, settings: NotifySettings, sent: Iterable[str] = ()) -> None:
        self._running[name] = _Running(settings, self._make(settings, sent=sent))

    async def _tidy(self) -> None:
        while True:
            await self._tidied()
            await asyncio.sleep(self._random.uniform(_EVERY, 2 * _EVERY))

    async def _tidied(self) -> None:
        try:
            await self.tidy()
        except STORE_ERRORS as error:
            _log.debug("notifiers_not_tidied", error=described(error))
        except Exception:  # noqa: BLE001 - events are handled, whatever is left over of notifiers
            _log.exception("notifiers_not_tidied")

    async def tidy(self) -> list[str]:
        """Say which notifiers this process has, and remove those unwanted for a day, which are returned."""
        keys, now, names = self._store.keys, int(self._clock() * 1000), list(self._wanted)
        if names:
            await self._store.command("ZADD", keys.notifiers(), *(part for name in names for part in (now, name)))
        others = [name for name in await self._known() if name not in names]
        gone = [name for name in others if await self._forgotten(name, now)]
        if gone:
            _log.info("notifiers_removed", notifiers=gone)
        return gone

    async def _forgotten(self, name: str, now: int) -> bool:
        return bool(await self._store.call(forget_notifier(self._store.keys, name, now - _UNWANTED * 1000, now)))

    async def _known(self) -> list[str]:
        [groups] = await self._store.commands([("XINFO", "GROUPS", self._store.keys.notices())])
        if is_no_group(groups):
            return []
        rows: list[Any] = checked([groups])[0]
        names = (notifier_of(named_values(row)[b"name"].decode(errors="replace")) for row in rows)
        return [name for name in names if name is not None]
