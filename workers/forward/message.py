"""What is posted for a delivery: the body, and the headers that say what it is. A pure function of the delivery."""

import re
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

import msgspec

from router.cloudevents import to_cloudevent_json
from workers.delivery import Delivery, Merged

__all__ = ["Message", "message", "webhook_id"]

_LONGEST: Final = 200
_PLAIN: Final = re.compile(rf"[!-$&-~]{{1,{_LONGEST}}}")  # without %, which begins what stands for another character
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")
_TYPES: Final = {"cloudevents": "application/cloudevents+json; charset=utf-8", "raw": "application/json"}


class Message(NamedTuple):
    """A body, and its headers without those that sign it; `id` is the value of `webhook-id`."""

    id: str
    body: bytes
    headers: dict[str, str]


def message(delivery: Delivery, form: Literal["cloudevents", "raw"], traceparent: str = "") -> Message:
    """Return what is posted for a delivery; raises InvalidCloudEvent where its bytes are not JSON.

    A CloudEvents event has the extension `traceparent` where there is a trace, and, where events were merged into it,
    `mergedcount`, `firstat` and `merged`: a JSON array as text, with id, publisher, type and time of each of those.
    """
    event = delivery.event
    if form == "raw":
        body = event.raw
    else:
        body = to_cloudevent_json(event, _merged(delivery) | ({"traceparent": traceparent} if traceparent else {}))
    headers = {
        "content-type": _TYPES[form],
        "event-router-subscription": delivery.subscription,
        "event-router-stream": quote(event.stream),
        "event-router-attempt": str(delivery.attempt),
    }
    if delivery.merged:
        headers["event-router-merged"] = str(len(delivery.merged))
    if delivery.generation:
        headers["event-router-replay"] = quote(delivery.generation)
    if traceparent:
        headers["traceparent"] = traceparent
    return Message(webhook_id(event.stream, event.id), body, headers)


def webhook_id(stream: str, event_id: str) -> str:
    """Return the id of an event of a stream as a header can carry it, which no other event has.

    A receiver that has seen an id drops what comes with it again. Any other id than a UUID tells events of one stream
    apart, and no more: the stream stands before it. What has other characters is quoted, what is very long a digest.
    """
    if _UUID.fullmatch(event_id):
        return event_id
    whole = f"{stream}/{event_id}"
    if _PLAIN.fullmatch(whole):
        return whole
    quoted = quote(whole, errors="surrogatepass")
    is_short = len(quoted) <= _LONGEST
    return quoted if is_short else f"%sha256:{sha256(whole.encode(errors='surrogatepass')).hexdigest()}"


def _merged(delivery: Delivery) -> dict[str, Any]:
    if not delivery.merged:
        return {}
    listed = msgspec.json.encode([_named(merged) for merged in delivery.merged]).decode()
    return {"mergedcount": len(delivery.merged), "merged": listed, "firstat": delivery.first_at}


def _named(merged: Merged) -> dict[str, Any]:
    return {"id": merged.id, "publisher": merged.publisher, "type": merged.type, "at": merged.at}
