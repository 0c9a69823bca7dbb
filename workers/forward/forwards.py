"""The forwards of one process: each with its consumer, brought to what the settings say, also while they run."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Self

from config.errors import ConfigError
from config.forward import ForwardSettings
from config.settings import Settings
from router.telemetry import logs
from workers.consuming.consumer import Consumer
from workers.forward.forward import Forward
from workers.forward.gone import Goner
from workers.forward.making import check, check_forwards, is_same_subscription
from workers.forward.metrics import ForwardMetrics
from workers.forward.notebook import Notebook
from workers.service import Bench

__all__ = ["Forwards"]

_GRACE = 5.0
"""Seconds beside the time-out of an exchange for which what is under way may take to end."""

_log = logs.get("forward")


class _Running:
    """A forward and its consumer."""

    def __init__(self, forward: Forward, consumer: Consumer) -> None:
        self.forward = forward
        self.consumer = consumer


class Forwards:
    """An async context manager: what runs is ended by the crew, and the connections after that."""

    def __init__(self, bench: Bench, notebook: Notebook, traceparent: Callable[[], str] = str) -> None:
        self._bench = bench
        self._notebook = notebook
        self._traceparent = traceparent
        self._metrics = ForwardMetrics(bench.registry)
        self._running: dict[str, _Running] = {}
        self._ended: list[Forward] = []
        self._wanted: Mapping[str, ForwardSettings] = {}
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(running.forward.aclose() for running in self._running.values()))

    def want(self, settings: Settings) -> None:
        """Have the forwards be as these settings say, soon; raises ConfigError, changing nothing, for a wrong one."""
        check_forwards(settings, self._bench.catalogue)
        self._wanted = {forward.name: forward for forward in settings.forward}
        self._news.set()

    async def run(self) -> None:
        """Bring the forwards to what is wanted, whenever that changes, until cancelled."""
        while True:
            await self._news.wait()
            await self.bring()

    async def bring(self) -> None:
        """Bring them all, each without waiting for another."""
        self._news.clear()
        wanted = self._wanted
        names = {**self._running, **wanted}
        await asyncio.gather(*(self._bring(name, wanted.get(name)) for name in names))

    async def _bring(self, name: str, wanted: ForwardSettings | None) -> None:
        running = self._running.get(name)
        try:
            if wanted is None:
                ended = await self._end(name)
                await ended.forget()
                self._notebook.ended(name)
                _log.warning("forward_ended", subscription=name, advice=_left_behind(name))
            elif running is not None and is_same_subscription(running.forward.settings, wanted):
                await self._change(running.forward, wanted)
            else:
                await self._begin(wanted)
        except ConfigError as error:  # a file that was there when all was checked
            _log.error("forward_not_changed", subscription=name, reason=str(error), kept="what was in force before")

    async def _begin(self, wanted: ForwardSettings) -> None:
        """Start a forward, when the one of its name before has ended."""
        subscription = check(wanted, self._bench.catalogue)
        goner = Goner(self._bench.store, wanted.name)
        forward = Forward(goner, self._notebook, self._metrics, traceparent=self._traceparent)
        await forward.take(wanted)
        subscription.handler(forward.handle)
        if wanted.name in self._running:
            await self._end(wanted.name)
        self._running[wanted.name] = _Running(forward, self._bench.crew.start(subscription))
        _log.info("forward_started", subscription=wanted.name, host=wanted.host)

    async def _change(self, forward: Forward, wanted: ForwardSettings) -> None:
        """Let it post elsewhere or otherwise; a file of certificates may hold others under the same name."""
        has_files = any((wanted.ca_file, wanted.client_cert, wanted.client_key))
        if forward.settings != wanted or has_files:
            await forward.take(wanted)
            _log.info("forward_changed", subscription=wanted.name, host=wanted.host)

    async def _end(self, name: str) -> Forward:
        running = self._running[name]
        await self._bench.crew.end(running.consumer, running.forward.settings.timeout + _GRACE)
        del self._running[name]
        await running.forward.aclose()
        return running.forward


def _left_behind(name: str) -> str:
    return f"its events wait for it: `event-router subscriptions remove {name}` if it does not come back"
