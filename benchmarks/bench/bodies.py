"""Notifications as the ERP sends them, and whole signed requests of them, made before anything is measured."""

import base64
import hmac
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from router.events.catalogue import Catalogue
from router.events.samples import body, sample

__all__ = [
    "EVENT",
    "PATH",
    "PUBLISHER",
    "SECRET",
    "STREAM",
    "event_id",
    "notification",
    "request",
    "sample_requests",
    "write_requests",
]

SECRET = "benchmark-secret"
PUBLISHER = "visma-net-financial"
EVENT = "customer_changed"
STREAM = f"{PUBLISHER}/{EVENT}"
PATH = f"/webhooks/{PUBLISHER}"
_SEPARATOR = b"\0"

_NOTIFICATION = (
    '{{"NotificationId":"{id}","contextId":"{company}","event":"{event}","action":"UPDATED","resourceId":"{resource}",'
    '"resourceUri":"https://api.finance.visma.net/v1/customer/{resource}","relativeResourceUri":"v1/customer/{resource}",'
    '"timeStamp":638974335577900000,"ApiClientId":null,"TenantId":"f6cd9000-0000-4000-8000-000000006183",'
    '"IsScheduler":false,"ConnectId":"18eb1000-0000-4000-8000-000000040666"{filler}}}'
)


def event_id(number: int, space: int = 0) -> str:
    """Return an id in the form the sender uses, of one of many spaces that have none in common."""
    return f"0b5e0000-{space:04x}-4000-8000-{number:012x}"


def notification(
    id_: str, event: str = EVENT, size: int = 0, *, resource: str = "55555", company: str = "5100001"
) -> bytes:
    """Return the body that carries one notification, filled up to `size` bytes."""
    parts = {"id": id_, "event": event, "resource": resource, "company": company}
    bare = _NOTIFICATION.format(**parts, filler="")
    missing = size - len(bare) - len(',"note":""')
    filler = f',"note":"{"x" * missing}"' if missing > 0 else ""
    return _NOTIFICATION.format(**parts, filler=filler).encode()


def request(body: bytes, path: str = PATH) -> bytes:
    """Return one whole signed HTTP request."""
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"x-vwd-signature-v1: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def write_requests(file: Path, ids: Iterable[str], *, events: Sequence[str] = (EVENT,), size: int = 0) -> Path:
    """Write requests, one for each id and of these events in turn, with a zero byte after each; return the file."""
    with file.open("wb") as output:
        for number, id_ in enumerate(ids):
            output.write(request(notification(id_, events[number % len(events)], size)) + _SEPARATOR)
    return file


def sample_requests(file: Path, streams: Sequence[str], number: int) -> Path:
    """Write so many requests with samples of these streams in turn, each with an id of its own; return the file."""
    catalogue, random, now = Catalogue.load(), Random(1), datetime.now(UTC)
    with file.open("wb") as output:
        for index in range(number):
            stream = streams[index % len(streams)]
            item = body([sample(catalogue, stream, random, now)])
            output.write(request(item, f"/webhooks/{stream.partition('/')[0]}") + _SEPARATOR)
    return file
