"""A message as any receiver of HTTP takes it: JSON that Standard Webhooks signs."""

import json
from typing import Any

from router.store.reading import moment_at
from workers.incidents.incident import Incident
from workers.notify.message import Item, Message

__all__ = ["json_of"]


def json_of(message: Message) -> bytes:
    """Return the body to post; its times are ISO 8601 in UTC."""
    data = {
        "title": message.title,
        "incidents": [_incident(item) for item in message.items],
        "more": message.more,
        "late": message.late.number if message.late else 0,
        "notes": message.notes,
    }
    return json.dumps({"type": "event-router.incidents", "id": message.id, "data": data}, ensure_ascii=False).encode()


def _incident(item: Item) -> dict[str, Any]:
    incident = item.incident
    return {
        "state": "over" if item.is_over else "began",
        "kind": incident.kind,
        "subject": incident.subject,
        "since": _stamp(incident.since),
        "over": None if incident.over is None else _stamp(incident.over),
        "seconds": _seconds(incident),
        "what": item.what,
        "do": item.do,
        "command": item.command,
    }


def _seconds(incident: Incident) -> float | None:
    return None if incident.over is None else max(0, incident.over - incident.since) / 1000


def _stamp(millis: int) -> str:
    return moment_at(millis).isoformat(timespec="milliseconds").replace("+00:00", "Z")
