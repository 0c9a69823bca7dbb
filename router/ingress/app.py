"""The one hot route: verify a webhook, identify its notifications, have them stored, answer 202.

The order of the checks is the order of their cost and of what a stranger may learn: path, address, method, size, and
only then the signature. Nothing is stored before the signature was found right.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from uuid import uuid4

import structlog

from config.publishers import Publisher
from config.settings import IngressSettings, Settings
from router.events.catalogue import Catalogue
from router.events.hints import HintList, share
from router.events.identify import NOTIFICATION_HEADER, Identified, Unreadable, identify
from router.http.body import BadBody
from router.http.connection import Connection, Malformed
from router.http.parser import RawRequestMessage
from router.http.rate_limit import RateLimit, Sparing, retry_after
from router.http.response import Response, problem
from router.ingress.allow_list import AllowList
from router.ingress.head import is_encoded, publisher_named_by
from router.ingress.metrics import IngressMetrics
from router.ingress.signature import verify
from router.ingress.signing_secrets import secrets_of
from router.ingress.traffic import Traffic
from router.intake.entry import Entry, entry_of
from router.intake.group_commit import Appender
from router.store.errors import StoreUnavailable
from router.store.keys import Keys
from router.store.windows import Windows
from router.telemetry.fast_metrics import CounterChild

_STORE = "store"
_INTERNAL = "internal"
_LOGGED = (10.0, 100)  # refusals that are logged a second, and at once
_NAMES = 50  # of headers that are logged
_FORGERIES = (500.0, 1000)  # that are answered at once a second, and after a pause
_NO_REASONS: Mapping[int, str] = MappingProxyType({})
_HELD = 1.0  # seconds for which one beyond them waits for its answer

log = structlog.get_logger("ingress")


@dataclass(frozen=True, slots=True)
class Door:
    """What ingress needs of one publisher, as it was when the request began."""

    catalogue: Catalogue
    publisher: Publisher
    secrets: tuple[bytes, ...]
    unsigned: bool
    hints: HintList
    repeats: bool
    limit: RateLimit | None
    answered: CounterChild
    accepted: CounterChild
    duplicates: CounterChild
    quarantined: CounterChild


class _Refused(Exception):
    """The request is answered with a problem document; `reason` is what is counted."""

    def __init__(
        self, status: int, reason: str, detail: str, *, headers: Mapping[str, str] | None = None, close: bool = False
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.headers = headers
        self.close = close


class Ingress:
    """Answers `POST /webhooks/{publisher}`; `clock` returns the time in epoch seconds, `name` one for a webhook."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        appender: Appender,
        metrics: IngressMetrics,
        clock: Callable[[], float] = time.time,
        name: Callable[[], str] = lambda: uuid4().hex,
        traffic: Traffic | None = None,
    ) -> None:
        self._traffic = traffic or Traffic()
        self._settings = settings.ingress
        self._appender = appender
        self._metrics = metrics
        self._clock = clock
        self._name = name
        self._keys = Keys(settings.redis.prefix)
        self._refusals_logged, self._forgeries_logged = Sparing(RateLimit(*_LOGGED)), Sparing(RateLimit(*_LOGGED))
        self._forgeries = RateLimit(*_FORGERIES)
        self._doors: dict[str, Door] = {}
        self._admitted: list[tuple[Door, RawRequestMessage, bytes, Connection, float]] = []
        self.reload(settings, catalogue)

    def reload(self, settings: Settings, catalogue: Catalogue) -> None:
        """Judge from now on by these publishers, secrets, networks and rates; what is under way is not disturbed."""
        doors = {slug: self._door(settings, catalogue, slug) for slug in catalogue.publishers}
        self._addresses = AllowList(settings.ingress.allow, settings.ingress.trusted_proxies)
        self._doors = doors

    def find(self, head: RawRequestMessage, connection: Connection) -> Door:
        """Return the door of the publisher that a request is for; raises _Refused."""
        name = publisher_named_by(head.path)
        if name is None:
            raise _Refused(404, "path", "webhooks are received at /webhooks/{publisher}")
        if not self._addresses.open:
            self._check_address(name, connection)
        if (door := self._doors.get(name)) is None:
            raise _Refused(404, "publisher", f"no such publisher; the known ones are {', '.join(self._doors)}")
        return door

    def admit(self, head: RawRequestMessage) -> None:
        """Refuse, by raising, a request whose body is not even wanted."""
        if head.method != "POST":
            raise _Refused(405, "method", f"{head.method} is not allowed here", headers={"Allow": "POST"}, close=True)
        if "Content-Encoding" in head.headers and is_encoded(head.headers.getall("Content-Encoding")):
            # What is signed is not documented for a compressed body, and inflating before the check invites bombs.
            raise _Refused(415, "encoding", "send the body without Content-Encoding", close=True)

    def accept(self, door: Door, head: RawRequestMessage, body: bytes, connection: Connection) -> None:
        """Verify a request, and have its items stored and it answered then; raises _Refused."""
        started = time.perf_counter()
        if not door.unsigned and not self._is_signed(head, door, body):
            self._refuse_forgery(head, door, connection)
            return
        if door.limit is not None and (wait := door.limit.take()):
            raise _Refused(429, "rate_limit", "too many requests", headers={"Retry-After": retry_after(wait)})
        if not self._admitted:
            asyncio.get_running_loop().call_soon(self._receive_all)
        self._admitted.append((door, head, body, connection, started))

    def _receive_all(self) -> None:
        """Receive the requests that came in one round of the event loop, one right after the other.

        Between reads of sockets each would take longer: by then the code is no longer in the processor's cache.
        """
        admitted, self._admitted = self._admitted, []
        for door, head, body, connection, started in admitted:
            try:
                self._receive(door, head, body, connection, started)
            except Exception as error:  # noqa: BLE001 - whatever it is, the sender gets an answer
                connection.fail(error)

    def _receive(
        self, door: Door, head: RawRequestMessage, body: bytes, connection: Connection, started: float
    ) -> None:
        """Have the items of a request that may come in stored, and answer it then."""
        publisher = door.publisher.slug
        items = identify(door.catalogue, publisher, body, head.headers.get(NOTIFICATION_HEADER))
        reasons = _reasons(items) if Unreadable in map(type, items) else _NO_REASONS
        if not items:
            connection.answer(self._accepted(door, reasons, [], started))
            return
        now = self._now()
        hints = share(door.hints.of(head.raw_headers), len(items))
        webhook = self._name() if door.repeats else ""
        entries = [self._entry(publisher, item, now, hints, webhook) for item in items]
        came = (now, list(map(_company_of, items)))
        self._appender.append(entries, partial(self._answer, door, reasons, started, connection, came))

    def refuse(self, error: Exception, door: Door | None, connection: Connection) -> Response:
        """Return the answer to a request that failed, as a problem document; counts and logs it."""
        publisher = door.publisher.slug if door is not None else ""
        refused = error if isinstance(error, _Refused) else self._refusal(error)
        self._metrics.refused(publisher, refused.status, refused.reason)
        if refused.reason == _INTERNAL:
            log.error("request_failed", publisher=publisher, exc_info=error)
        else:
            self._log_refusal(refused, publisher, connection)
        return problem(refused.status, str(refused), headers=refused.headers, close=refused.close)

    def _log_refusal(self, refused: _Refused, publisher: str, connection: Connection) -> None:
        """Log a refusal, but not each of a flood; what keeps the store from it is logged once, elsewhere."""
        more = {} if refused.reason == _STORE else self._refusals_logged.next()
        if more is not None:
            say = log.debug if refused.reason == _STORE else log.info
            peer = connection.peer
            client = str(self._addresses.client(peer, connection.forwarded) or peer)
            what = {"publisher": publisher, "status": refused.status, "reason": refused.reason, "client": client}
            say("request_refused", **what, **more)

    def _refusal(self, error: Exception) -> _Refused:
        """Return the refusal for an error whose text is not for the sender."""
        if isinstance(error, BadBody):
            return _Refused(error.status, type(error).__name__, str(error), close=True)
        if isinstance(error, Malformed):
            return _Refused(400, "malformed", str(error), close=True)
        if isinstance(error, StoreUnavailable):
            detail = "the event store is unavailable; nothing is lost if you send this again"
            return _Refused(503, _STORE, detail, headers=self._retry_after())
        detail = "the request could not be handled; try again later"
        return _Refused(503, _INTERNAL, detail, headers=self._retry_after(), close=True)

    def _answer(
        self,
        door: Door,
        reasons: Mapping[int, str],
        started: float,
        connection: Connection,
        came: tuple[int, Sequence[str]],
        outcome: Sequence[bool] | Exception,
    ) -> None:
        if isinstance(outcome, Exception):
            connection.fail(outcome)
            return
        try:
            self._traffic.came(door.publisher.slug, came[1], outcome, came[0])
            response = self._accepted(door, reasons, outcome, started)
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever; what is stored is found when it comes again
            connection.fail(error)
        else:
            connection.answer(response)

    def _accepted(self, door: Door, reasons: Mapping[int, str], appended: Sequence[bool], started: float) -> Response:
        """Return the answer to a request whose items are stored, or were before; counts them."""
        new = sum(appended)
        duplicates = len(appended) - new
        quarantined = [reason for index, reason in reasons.items() if appended[index]] if reasons else ()
        if quarantined:
            door.quarantined.inc(len(quarantined))
            what = {"items": len(quarantined), "reasons": sorted(set(quarantined))}
            log.warning("items_quarantined", publisher=door.publisher.slug, **what)
        accepted = new - len(quarantined)
        door.answered.inc()
        door.duplicates.inc(duplicates)
        door.accepted.inc(accepted)
        self._metrics.seconds.observe(time.perf_counter() - started)
        return _accepted(accepted, duplicates, len(quarantined))

    def _door(self, settings: Settings, catalogue: Catalogue, slug: str) -> Door:
        publisher, items = catalogue.publishers[slug], self._metrics.items
        outcomes = (items.labels(slug, outcome) for outcome in ("accepted", "duplicate", "quarantined"))
        counters = (self._metrics.open_door(slug), *outcomes)
        limit = self._limit(slug, settings.ingress)
        secrets, unsigned = secrets_of(settings, slug), settings.allows_unsigned(slug)
        hints = HintList((*publisher.hints, *settings.hints_for(slug)), publisher.signature.header)
        repeats = Windows.for_settings(settings).repeats(slug)
        return Door(catalogue, publisher, secrets, unsigned, hints, repeats, limit, *counters)

    def _limit(self, slug: str, settings: IngressSettings) -> RateLimit | None:
        """Return the publisher's rate limit, the one that is there already if it is still the same."""
        if not settings.rate_limit:
            return None
        before = self._doors[slug].limit if slug in self._doors else None
        if before is not None and (before.rate, before.burst) == (settings.rate_limit, settings.rate_burst):
            return before
        return RateLimit(settings.rate_limit, settings.rate_burst)

    def _check_address(self, name: str, connection: Connection) -> None:
        if not self._addresses.allows(connection.peer, connection.forwarded):
            if name in self._doors:
                self._traffic.refused(name, "address", self._now())
            raise _Refused(403, "address", "requests from this address are not allowed", close=True)

    def _is_signed(self, head: RawRequestMessage, door: Door, body: bytes) -> bool:
        signatures = head.headers.getall(door.publisher.signature.header, ())
        return bool(signatures) and verify(door.publisher.signature, door.secrets, body, signatures)

    def _refuse_forgery(self, head: RawRequestMessage, door: Door, connection: Connection) -> None:
        """Refuse a request that is not signed rightly: by raising, or in a flood of them some time later."""
        header = door.publisher.signature.header
        there = any(value.strip(", \t") for value in head.headers.getall(header, ()))
        reason = "unsigned" if not there else "signature" if door.secrets else "no_secret"
        lacking = f"header {header} is {'empty' if header in head.headers else 'missing'}"
        self._traffic.refused(door.publisher.slug, reason, self._now())
        refused = _Refused(401, reason, "the signature does not match the body" if there else lacking)
        if (more := self._forgeries_logged.next()) is not None:
            names = sorted({name[:_NAMES] for name in head.headers})[:_NAMES]
            log.warning("signature_refused", publisher=door.publisher.slug, reason=reason, header_names=names, **more)
        if not self._forgeries.take():
            raise refused
        # Who waits sends no more on its connection: a flood gets no further than it has connections.
        asyncio.get_running_loop().call_later(_HELD, connection.fail, refused)

    def _entry(self, publisher: str, item: Identified | Unreadable, now: int, hints: bytes, webhook: str = "") -> Entry:
        return entry_of(self._keys, publisher, item, now, hints, webhook)

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, round(self._settings.retry_after)))}


def _company_of(item: Identified | Unreadable) -> str:
    """Return whose event it is: the company it names, or else the tenant; empty where it names neither."""
    values = item.normalised if type(item) is Identified else None
    if not values:
        return ""
    return str(values.get("company_id") or values.get("tenant_id") or "")


def _reasons(items: Sequence[Identified | Unreadable]) -> dict[int, str]:
    """Return why items are unreadable, by their places."""
    return {place: item.reason for place, item in enumerate(items) if type(item) is Unreadable}


@lru_cache(maxsize=256)
def _accepted(accepted: int, duplicates: int, quarantined: int) -> Response:
    text = f'{{"accepted": {accepted}, "duplicates": {duplicates}, "quarantined": {quarantined}}}'
    return Response(202, text.encode())
