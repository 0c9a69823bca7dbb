"""The one hot route: verify a webhook, identify its notifications, have them stored, answer 202.

The order of the checks is the order of their cost and of what a stranger may learn: path, address, method, size, and
only then the signature. Nothing is stored before the signature was found right.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import structlog
from aiohttp import web

from config.publishers import Publisher
from config.settings import Settings
from router.addresses import AllowList
from router.append import Appender
from router.catalogue import Catalogue
from router.entry import Entry
from router.http import BadBody, read_body
from router.identify import Identified, Unreadable, identify
from router.keys import Keys
from router.metrics import IngressMetrics
from router.problems import problem
from router.secrets import secrets_of
from router.signature import verify
from router.store import StoreUnavailable

__all__ = ["Ingress"]

_PATH = "/webhooks/"
_NOTIFICATION_HEADER = "x-vwd-notification-id"
_STORE = "store"

log = structlog.get_logger("ingress")


@dataclass(frozen=True, slots=True)
class _Door:
    """What ingress needs of one publisher."""

    publisher: Publisher
    secrets: tuple[bytes, ...]
    unsigned: bool


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
    """Answers `POST /webhooks/{publisher}`; `clock` returns the time in epoch seconds."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        appender: Appender,
        metrics: IngressMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings.ingress
        self._catalogue = catalogue
        self._appender = appender
        self._metrics = metrics
        self._clock = clock
        self._keys = Keys(settings.redis.prefix)
        self._addresses = AllowList(settings.ingress.allow, settings.ingress.trusted_proxies)
        self._doors = {
            slug: _Door(publisher, secrets_of(settings, slug), settings.allows_unsigned(slug))
            for slug, publisher in catalogue.publishers.items()
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises, whatever the sender sends."""
        slug = ""
        try:
            slug = self._publisher_of(request)
            return await self._accept(request, self._doors[slug])
        except _Refused as refused:
            self._metrics.refused.labels(slug, refused.status, refused.reason).inc()
            what = {"publisher": slug, "status": refused.status, "reason": refused.reason}
            say = log.debug if refused.reason == _STORE else log.info
            say("request_refused", **what, peer=_peer(request))
            return problem(refused.status, str(refused), headers=refused.headers, close=refused.close)
        except Exception:
            log.exception("request_failed", publisher=slug)
            self._metrics.refused.labels(slug, 503, "internal").inc()
            return problem(503, "the request could not be handled; try again later", headers=self._retry_after())

    def _publisher_of(self, request: web.BaseRequest) -> str:
        """Return the publisher a request is for; raises _Refused where it is for none or may not be made."""
        path = _path_of(request.raw_path)
        if not path.startswith(_PATH):
            raise _Refused(404, "path", "webhooks are received at /webhooks/{publisher}")
        if not self._addresses.open:
            self._check_address(request)
        slug = path[len(_PATH) :]
        if slug not in self._doors:
            raise _Refused(404, "publisher", f"no such publisher; the known ones are {', '.join(self._doors)}")
        return slug

    def _check_address(self, request: web.BaseRequest) -> None:
        if not self._addresses.allows(_peer(request), request.headers.getall("X-Forwarded-For", ())):
            raise _Refused(403, "address", "requests from this address are not allowed", close=True)

    async def _accept(self, request: web.BaseRequest, door: _Door) -> web.StreamResponse:
        started = time.perf_counter()
        body = await self._signed_body(request, door)
        publisher = door.publisher.slug
        items = identify(self._catalogue, publisher, body, request.headers.get(_NOTIFICATION_HEADER))
        appended = await self._store(publisher, items)
        quarantined = sum(new and isinstance(item, Unreadable) for item, new in zip(items, appended, strict=True))
        accepted = sum(appended) - quarantined
        duplicates = len(items) - accepted - quarantined
        self._count(publisher, accepted, duplicates, quarantined)
        if quarantined:
            reasons = sorted({item.reason for item in items if isinstance(item, Unreadable)})
            log.warning("items_quarantined", publisher=publisher, items=quarantined, reasons=reasons)
        self._metrics.seconds.observe(time.perf_counter() - started)
        text = f'{{"accepted": {accepted}, "duplicates": {duplicates}, "quarantined": {quarantined}}}'
        return web.Response(status=202, body=text.encode(), content_type="application/json")

    async def _signed_body(self, request: web.BaseRequest, door: _Door) -> bytes:
        """Return the raw body once its signature was found right; raises _Refused."""
        if request.method != "POST":
            raise _Refused(
                405, "method", f"{request.method} is not allowed here", headers={"Allow": "POST"}, close=True
            )
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            # What is signed is not documented for a compressed body, and inflating before the check invites bombs.
            raise _Refused(415, "encoding", "send the body without Content-Encoding", close=True)
        try:
            body = await read_body(request, self._settings.max_body, self._settings.body_timeout)
        except BadBody as bad:
            raise _Refused(bad.status, type(bad).__name__, str(bad), close=True) from bad
        if not door.unsigned:
            self._check_signature(request, door, body)
        return body

    def _check_signature(self, request: web.BaseRequest, door: _Door, body: bytes) -> None:
        scheme = door.publisher.signature
        signatures = request.headers.getall(scheme.header, ())
        if verify(scheme, door.secrets, body, signatures):
            return
        reason = "unsigned" if not signatures else "signature" if door.secrets else "no_secret"
        names = sorted(set(request.headers))
        log.warning("signature_refused", publisher=door.publisher.slug, reason=reason, header_names=names)
        missing = f"header {scheme.header} is missing"
        raise _Refused(401, reason, missing if not signatures else "the signature does not match the body")

    async def _store(self, publisher: str, items: list[Identified | Unreadable]) -> list[bool]:
        now = int(self._clock() * 1000)
        entries = [self._entry(publisher, item, now) for item in items]
        try:
            return await self._appender.append(entries) if entries else []
        except StoreUnavailable as error:
            log.debug("append_failed", publisher=publisher, error=str(error))  # what keeps it from it is logged once
            detail = "the event store is unavailable; nothing is lost if you send this again"
            raise _Refused(503, _STORE, detail, headers=self._retry_after()) from error

    def _entry(self, publisher: str, item: Identified | Unreadable, now: int) -> Entry:
        keys, raw = self._keys, item.raw
        if isinstance(item, Identified):
            stream = item.stream
            return Entry(
                keys.events(stream), keys.seen(stream, item.id), ("id", item.id, "at", now, "raw", raw), len(raw)
            )
        digest = f"sha256:{sha256(raw).hexdigest()}"
        fields = ("id", digest, "at", now, "reason", item.reason, "raw", raw)
        return Entry(keys.quarantine(publisher), keys.seen(publisher, digest), fields, len(raw))

    def _count(self, publisher: str, accepted: int, duplicates: int, quarantined: int) -> None:
        outcomes = {"accepted": accepted, "duplicate": duplicates, "quarantined": quarantined}
        for outcome, number in outcomes.items():
            if number:
                self._metrics.items.labels(publisher, outcome).inc(number)

    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, round(self._settings.retry_after)))}


def _peer(request: web.BaseRequest) -> str:
    """Return the address at the other end of the connection."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return str(peer[0]) if peer else ""


def _path_of(target: str) -> str:
    """Return the path of a request target, also of one in absolute form (RFC 9112, 3.2.2)."""
    path = target.partition("?")[0]
    return path if path.startswith("/") else f"/{path.partition('://')[2].partition('/')[2]}"
