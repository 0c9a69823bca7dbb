"""Sending signed webhooks to an ingress, several at once, and counting what became of their items."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from random import Random
from typing import Any, NamedTuple

import aiohttp

from config.errors import ConfigError
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.samples import About, body, sample
from router.ingress.signature import sign
from router.ingress.signing_secrets import secrets_of
from router.tasks.pacing import Pacer

_ACCEPTED = 202
_NO_ANSWER = "no answer"
_ANYTHING = About()
_TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One request to be: its publisher, its body, and how many items that holds."""

    publisher: str
    body: bytes
    items: int


@dataclass(slots=True)
class Summary:
    """What became of all items; those sent are accepted, duplicates, quarantined or refused."""

    requests: int = 0
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    refused: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    unanswered_items: int = 0
    refusal: str | None = None
    """The first status but 202, and why it was that, as far as the answer says."""

    def count(self, parcel: Parcel, answer: "Answer") -> None:
        """Take note of an answer."""
        self.requests += 1
        self.sent += parcel.items
        self.statuses[answer.status] += 1
        for name, number in (answer.figures or {"refused": parcel.items}).items():
            setattr(self, name, getattr(self, name) + number)
        if answer.figures is not None:
            return
        if answer.status == _NO_ANSWER:
            self.unanswered_items += parcel.items
        elif self.refusal is None:
            self.refusal = f"{answer.status}: {answer.detail}"

    @property
    def unanswered(self) -> bool:
        """Whether nothing answered at all."""
        return self.requests > 0 and self.statuses[_NO_ANSWER] == self.requests

    def as_json(self) -> dict[str, Any]:
        """Return the figures; what nobody answered counts as refused."""
        figures = asdict(self) | {"statuses": dict(sorted(self.statuses.items()))}
        return {name: value for name, value in figures.items() if name not in ("unanswered_items", "refusal")}

    def as_text(self) -> dict[str, str]:
        """Return the figures for people, what was refused apart from what nobody answered."""
        figures = {name: f"{number}" for name, number in self.as_json().items()}
        figures["refused"] = f"{self.refused - self.unanswered_items}"
        if self.unanswered_items:
            figures["unanswered"] = f"{self.unanswered_items}"
        statuses = ", ".join(f"{status}: {number}" for status, number in sorted(self.statuses.items()))
        return {**figures, "statuses": statuses}


class Answer(NamedTuple):
    """What an ingress said: the figures of a 202, or else why it was none."""

    status: str
    figures: Mapping[str, int] | None = None
    detail: str = ""


class Signer:
    """Makes the headers of requests of these publishers; raises ConfigError where one has no secret to sign with.

    A publisher that may send unsigned needs none.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, slugs: Iterable[str]) -> None:
        self._catalogue = catalogue
        self._secrets = {slug: secrets_of(settings, slug) for slug in slugs}
        for slug, secrets in self._secrets.items():
            if not secrets and not settings.allows_unsigned(slug):
                variable = f"ROUTER_SECRETS__{slug.upper().replace('-', '_')}"
                raise ConfigError(f"no secret to sign with as {slug}: set {variable}, or start `event-router up` first")

    def headers(self, parcel: Parcel) -> dict[str, str]:
        """Return the signature under its publisher's first secret."""
        headers = {"Content-Type": "application/json"}
        if secrets := self._secrets[parcel.publisher]:
            scheme = self._catalogue.publishers[parcel.publisher].signature
            headers[scheme.header] = sign(scheme, secrets[0], parcel.body)
        return headers


def parcels(
    catalogue: Catalogue, streams: Sequence[str], count: int, batch: int, about: About = _ANYTHING
) -> Iterator[Parcel]:
    """Yield requests of samples: `count` items in all, of these streams in turn, `batch` of one publisher in each."""
    random = Random()  # noqa: S311 - samples are no secrets
    waiting: dict[str, list[dict[str, Any]]] = {}
    for stream in islice(cycle(streams), count):
        publisher = stream.partition("/")[0]
        items = waiting.setdefault(publisher, [])
        items.append(sample(catalogue, stream, random, datetime.now(UTC), about))
        if len(items) == batch:
            yield Parcel(publisher, body(waiting.pop(publisher)), batch)
    for publisher, items in waiting.items():
        yield Parcel(publisher, body(items), len(items))


async def send_all(
    requests: Iterable[Parcel],
    url: str,
    signer: Signer,
    *,
    rate: float | None,
    concurrency: int,
    advance: Callable[[int], None],
) -> Summary:
    """Send requests to the ingress at `url`, `rate` items a second, `concurrency` at once; tell `advance` of items."""
    summary, pacer, waiting = Summary(), Pacer(rate), iter(requests)

    async def lane(session: aiohttp.ClientSession) -> None:
        for parcel in waiting:
            await pacer.take(parcel.items)
            answer = await post(session, f"{url}/webhooks/{parcel.publisher}", parcel, signer.headers(parcel))
            summary.count(parcel, answer)
            advance(parcel.items)

    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector) as session:
        await asyncio.gather(*(lane(session) for _ in range(concurrency)))
    return summary


async def post(session: aiohttp.ClientSession, url: str, parcel: Parcel, headers: Mapping[str, str]) -> Answer:
    """Send one request, and return what was answered."""
    try:
        async with session.post(url, data=parcel.body, headers=headers) as response:
            text = await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return Answer(_NO_ANSWER)
    status = str(response.status)
    try:
        said = json.loads(text)
        if response.status == _ACCEPTED:
            return Answer(status, {name: int(said[name]) for name in ("accepted", "duplicates", "quarantined")})
        return Answer(status, detail=str(said["detail"]))
    except (ValueError, KeyError, TypeError):
        return Answer(status, detail="the answer does not say why; it may be none of an ingress")
