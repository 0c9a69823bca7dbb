"""Senders that give up on nothing: each repeats what was not answered with 2xx until it is, and notes what was.

A lane sends one request after the other, so the events of its resources have an order. The lanes of even number keep to
one ingress, and for their resources the order in the streams is promised. The others take any ingress for each request,
and send some to two of them at once.
"""

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import aiohttp

from router.events.catalogue import Catalogue
from router.events.samples import body, sample
from router.ingress.signature import sign

__all__ = ["SECRET", "STREAMS", "Journal", "Load", "Notification"]

SECRET = "ZmF1bHQtc3VpdGU="
"""Signs everything that is sent; the processes under test need it for the publishers of `STREAMS`."""

STREAMS = (
    "visma-net-financial/customer_changed",  # the dialect of Changed
    "visma-net-financial/customer_updated",  # the dialect of Created, Updated and Deleted
    "visma-net-financial/ar_invoice_status_changed",
    "visma-net-financial/unlisted",
    "visma-net-journal-transaction/voucher_processed",
)
_RESOURCES = 2  # of each lane and stream: few, so that the events of one meet
_TENANTS = 3
_MOST_ITEMS = 8
_ARRAYS = 0.15  # share of requests that carry an array
_TWICE = 0.05  # share of requests that a roaming lane sends to two ingresses at once
_TENANT = {"TenantId": "tenant-{}", "companyId": "510000{}", "contextId": "510000{}"}
_PATHS = ("resourceUri", "relativeResourceUri", "entityLocation")
_SEQUENCE = "sequence"


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to be sent: its id as the event will have it, and the place it has among those of its resource."""

    id: str
    stream: str
    resource: str
    sequence: int
    ordered: bool
    item: Mapping[str, Any]


@dataclass(slots=True)
class Journal:
    """What was sent and what was answered; times are those of `time.monotonic`."""

    sent: dict[str, Notification] = field(default_factory=dict)
    first_sent: dict[str, float] = field(default_factory=dict)
    acknowledged: dict[str, float] = field(default_factory=dict)
    last_accepted: dict[str, float] = field(default_factory=dict)
    """When each URL last answered 2xx to a request, by the time that request was sent."""
    requests: int = 0
    repeated: int = 0
    """Notifications sent again that had been acknowledged before."""
    slowest: float = 0.0
    """Seconds that the slowest answer took."""
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Answers that break the promise: neither 2xx nor 503 with Retry-After."""


class Load:
    """Sends to the ingresses at `urls`, `rate` requests a second over all lanes, until stopped.

    `duplicates` is the share of requests with a notification that was acknowledged before; `timeout` (seconds) is how
    long a lane waits for an answer, `pause` for how long before it sends again.
    """

    def __init__(
        self,
        urls: Sequence[str],
        journal: Journal,
        *,
        seed: int = 1,
        rate: float = 60.0,
        lanes: int = 16,
        streams: Sequence[str] = STREAMS,
        duplicates: float = 0.1,
        timeout: float = 4.0,
        pause: float = 0.1,
    ) -> None:
        self.urls = tuple(urls)
        self.journal = journal
        self.rate = rate
        self._lanes = lanes
        self._streams = tuple(streams)
        self._duplicates = duplicates
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._pause = pause
        self._seed = seed
        self._catalogue = Catalogue.load()
        self._stopping = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to send."""
        self._session = aiohttp.ClientSession(timeout=self._timeout, connector=aiohttp.TCPConnector(limit=0))
        self._tasks = [asyncio.create_task(self._lane(number)) for number in range(self._lanes)]

    async def stop(self, within: float = 30.0) -> None:
        """Send nothing new, and return when all that was sent is acknowledged.

        Raises TimeoutError when it is not `within` so many seconds, and what a lane broke with.
        """
        self._stopping.set()
        try:
            async with asyncio.timeout(within):
                await asyncio.gather(*self._tasks)
        finally:
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._session is not None:
                await self._session.close()

    def broken(self) -> BaseException | None:
        """Return what a lane broke with, if one did: a fault of the sender, which would otherwise go unseen."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        return next(filter(None, (task.exception() for task in ended)), None)

    async def _lane(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        lane = _Lane(number, Random(f"{self._seed}/{number}"), self._catalogue, self._streams, f"{self._seed:x}")
        at = loop.time() + lane.random.random() * self._lanes / self.rate
        while not self._stopping.is_set():
            await self._until(at)
            await self._deliver(lane)
            at = max(loop.time(), at + lane.random.uniform(0.5, 1.5) * self._lanes / self.rate)

    async def _until(self, at: float) -> None:
        try:
            async with asyncio.timeout_at(at):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _deliver(self, lane: "_Lane") -> None:
        """Send one request, and again until it is answered 2xx."""
        items = lane.take(self._duplicates)
        for one in items:
            self.journal.repeated += one.id in self.journal.sent
            self.journal.sent.setdefault(one.id, one)
            self.journal.first_sent.setdefault(one.id, time.monotonic())
        publisher = items[0].stream.partition("/")[0]
        payload = body([dict(one.item) for one in items])
        while not await self._post_all(lane.ingresses(self.urls), publisher, payload):  # noqa: ASYNC110
            await asyncio.sleep(self._pause)
        now = time.monotonic()
        for one in items:
            self.journal.acknowledged.setdefault(one.id, now)
        lane.acknowledged.extend(items)

    async def _post_all(self, urls: Sequence[str], publisher: str, payload: bytes) -> bool:
        """Post to each at once; return whether any of them took it."""
        return any(await asyncio.gather(*(self._post(url, publisher, payload) for url in urls)))

    async def _post(self, url: str, publisher: str, payload: bytes) -> bool:
        assert self._session is not None
        journal, sent_at = self.journal, time.monotonic()
        scheme = self._catalogue.publishers[publisher].signature
        headers = {scheme.header: sign(scheme, SECRET.encode(), payload), "Content-Type": "application/json"}
        journal.requests += 1
        try:
            async with self._session.post(f"{url}/webhooks/{publisher}", data=payload, headers=headers) as response:
                text = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            journal.answers[type(error).__name__] += 1
            return False
        journal.answers[str(response.status)] += 1
        journal.slowest = max(journal.slowest, time.monotonic() - sent_at)
        if response.status // 100 == 2:
            journal.last_accepted[url] = max(sent_at, journal.last_accepted.get(url, 0.0))
            return True
        if response.status != 503 or "Retry-After" not in response.headers:
            journal.wrong.append(f"{response.status} {text[:200]!r}")
        return False


class _Lane:
    """Makes the notifications of one lane, from a seed: the same seed makes the same ones in the same order."""

    def __init__(self, number: int, random: Random, catalogue: Catalogue, streams: Sequence[str], run: str) -> None:
        self.random = random
        self.acknowledged: deque[Notification] = deque(maxlen=500)
        self._number = number
        self._catalogue = catalogue
        self._streams = streams
        self._run = run
        self._serial = itertools.count()
        self._sequences: Counter[tuple[str, str]] = Counter()

    @property
    def ordered(self) -> bool:
        """Whether the lane keeps to one ingress."""
        return self._number % 2 == 0

    def ingresses(self, urls: Sequence[str]) -> Sequence[str]:
        """Return where to send the next request: one of these, or two of them at once."""
        if self.ordered:
            return [urls[self._number // 2 % len(urls)]]
        twice = len(urls) > 1 and self.random.random() < _TWICE
        return self.random.sample(list(urls), 2 if twice else 1)

    def take(self, duplicates: float) -> list[Notification]:
        """Return what the next request carries, all of one publisher."""
        number = self.random.randint(2, _MOST_ITEMS) if self.random.random() < _ARRAYS else 1
        publisher = self.random.choice(self._streams).partition("/")[0]
        streams = [stream for stream in self._streams if stream.startswith(f"{publisher}/")]
        items = [self._make(self.random.choice(streams)) for _ in range(number)]
        if self.random.random() < duplicates:
            old = [one for one in self.acknowledged if one.stream in streams]
            items[-1:] = [self.random.choice(old)] if old else items[-1:]
        return items

    def _make(self, stream: str) -> Notification:
        resource = str(10_000 + self._number * _RESOURCES + self.random.randrange(_RESOURCES))
        self._sequences[stream, resource] += 1
        sequence = self._sequences[stream, resource]
        item = sample(self._catalogue, stream, self.random, datetime.now(UTC))
        id_ = f"{self._run}-{self._number}-{next(self._serial)}"
        for key in item:
            if key.lower() == "notificationid":
                item[key] = id_.upper() if key[0] == "N" else id_
            elif key == "resourceId":
                item[key] = resource
            elif key in _TENANT:
                item[key] = _TENANT[key].format(int(resource) % _TENANTS)
            elif key in _PATHS:
                item[key] = f"{item[key].rpartition('/')[0]}/{resource}"
        return Notification(id_, stream, resource, sequence, self.ordered, {**item, _SEQUENCE: sequence})
