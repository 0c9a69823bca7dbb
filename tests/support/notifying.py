"""Notifiers over a store, with a channel in memory that takes messages, refuses them or hangs."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from prometheus_client import CollectorRegistry
from support.waiting import eventually

from config.notify import NotifySettings
from router.store.client import Store
from workers.incidents import Incident, Incidents
from workers.notify.message import Message
from workers.notify.metrics import NotifyMetrics
from workers.notify.notifiers import Notifiers
from workers.notify.opening import OpenChannel
from workers.notify.pace import Pace
from workers.notify.sending import SendFailed, Sent

__all__ = ["FAST", "FakeChannel", "Notifying", "incident", "mail_settings"]

FAST = Pace(lease=2.0, block=0.05, gather=0.0, first=0.01, longest=0.02)


def incident(subject: str, kind: str = "silence", since: int | None = None) -> Incident:
    """Return one that begins now."""
    since = int(time.time() * 1000) if since is None else since
    return Incident(kind, subject, since, f"Nothing came from {subject}.", "See.", "event-router doctor")


def mail_settings(name: str = "ops", **values: Any) -> NotifySettings:
    """Return a notifier that sends nothing by itself, as fast as can be."""
    mail = {"host": "localhost", "sender": "er@example.com", "to": ["ops@example.com"], "every": 0}
    return NotifySettings(name=name, kind="smtp", **{**mail, **values})


@dataclass
class FakeChannel:
    """Keeps what it takes. `answer` is called with each message first: it raises SendFailed, or hangs."""

    answer: Callable[[Message], Any] = lambda _message: None
    taken: list[Message] = field(default_factory=list)
    tries: list[Message] = field(default_factory=list)

    def __call__(self, _settings: NotifySettings) -> Self:
        """Return the channel, for whichever notifier."""
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def send(self, message: Message) -> Sent:
        """Take a message."""
        self.tries.append(message)
        answer = self.answer(message)
        if asyncio.iscoroutine(answer):
            await answer
        self.taken.append(message)
        return Sent("", "ok", "", 0.0)

    @property
    def titles(self) -> list[str]:
        """The titles of what it took."""
        return [message.title for message in self.taken]

    def subjects(self) -> list[str]:
        """Return what the incidents that it took are about."""
        return [item.incident.subject for message in self.taken for item in message.items]


class Notifying:
    """The notifiers of processes on one store."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock
        self.incidents = Incidents(store, clock)
        self.registry = CollectorRegistry()
        self.metrics = NotifyMetrics(self.registry)

    def notifiers(self, channel: OpenChannel, *settings: NotifySettings, pace: Pace = FAST) -> Notifiers:
        """Return the notifiers of one process."""
        return Notifiers(
            settings or (mail_settings(),), self.store, self.metrics, open_channel=channel, pace=pace, clock=self.clock
        )

    @contextlib.asynccontextmanager
    async def running(
        self, channel: OpenChannel, *settings: NotifySettings, pace: Pace = FAST
    ) -> AsyncIterator[Notifiers]:
        """Run the notifiers of a process once their groups are there."""
        notifiers = self.notifiers(channel, *settings, pace=pace)
        async with notifiers:
            wanted = len(settings) or 1
            await eventually(lambda: self._groups(wanted))
            yield notifiers

    async def _groups(self, wanted: int) -> bool:
        [groups] = await self.store.commands([("XINFO", "GROUPS", self.store.keys.notices())])
        return isinstance(groups, list) and len(groups) >= wanted

    def count(self, metric: str, **labels: str) -> float:
        """Return a counter."""
        return self.registry.get_sample_value(f"event_router_notify_{metric}_total", labels) or 0.0


def refusing(times: int, **how: Any) -> Callable[[Message], None]:
    """Return what refuses so many messages before it takes one."""
    left = [times]

    def answer(_message: Message) -> None:
        if left[0]:
            left[0] -= 1
            raise SendFailed("down", **how)

    return answer
