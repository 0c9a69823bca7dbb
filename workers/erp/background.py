"""Answers that the ERP makes in the background: their ids, their state, and until when they can be fetched. Pure.

The ERP says by links where they are. Of a link only the id is taken: the host in it is never asked.
"""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from router.events.event import Event
from workers.erp.errors import UnsafePath
from workers.outcomes import Dead, DeferFor, Outcome, RetryIn
from workers.record import Background

__all__ = ["has_ended", "id_of", "in_time", "is_background", "last_chance", "path_of", "read_state", "version_of"]

_KEPT: Final = timedelta(hours=24)
_MARGIN: Final = timedelta(minutes=10)
"""What an attempt gets before the answer is gone."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PATH: Final = re.compile(r"(v[0-9]+)/background/([^/]+)(?:/content)?/?", re.IGNORECASE)
_LINK: Final = re.compile(r"/background/([A-Za-z0-9_-]{1,100})(?:/content)?/?", re.IGNORECASE)


def is_background(path: str) -> tuple[str, str] | None:
    """Return the version and the id of a path that leads to a background answer; None for any other."""
    found = _PATH.fullmatch(path)
    return (found[1], found[2]) if found else None


def version_of(path: str) -> str:
    """Return the version that a path begins with; v1 where it has none."""
    found = re.match(r"v[0-9]+(?=/)", path, re.IGNORECASE)
    return found[0] if found else "v1"


def path_of(id_: str, version: str) -> str:
    """Return where the state of a background answer is; raises UnsafePath for what is no id."""
    if not _ID.fullmatch(id_):
        raise UnsafePath(f"{id_[:100]!r} is no id of a background answer: nothing was asked")
    return f"{version}/background/{id_}"


def id_of(body: Any) -> str | None:
    """Return the id of a background answer that a 202 names, itself or in its links."""
    if not isinstance(body, dict):
        return None
    named = body.get("id")
    if isinstance(named, str) and _ID.fullmatch(named):
        return named
    links = (body.get(name) for name in ("stateLocation", "contentLocation"))
    found = (match for link in links if isinstance(link, str) and (match := _LINK.search(link)))
    return next((match[1] for match in found if match.end() == len(match.string)), None)


def read_state(id_: str, body: Any) -> tuple[Background, int | None, bool]:
    """Return how far a background answer is, the status of HTTP it has, and whether there is content to fetch."""
    state = body if isinstance(body, dict) else {}
    status = state.get("statusCode")
    texts = {"reference": state.get("reference"), "error_message": state.get("errorMessage")}
    known = {name: text for name, text in texts.items() if isinstance(text, str)}
    found = Background(id_, str(state.get("status", "Started")), **known)
    has_content = state.get("hasResponseContent")
    return found, status if type(status) is int else None, bool(state.get("contentLocation")) or has_content is True


def has_ended(found: Background) -> bool:
    """Tell whether the ERP has finished with it, well or not."""
    return found.failed or found.status.casefold() == "finished"


def last_chance(event: Event) -> float | None:
    """Return until when (epoch seconds) an event's background answer is surely there; None for any other event."""
    if event.resource_path is None or is_background(event.resource_path) is None:
        return None
    began = min(event.occurred_at or event.received_at, event.received_at)
    return (began + _KEPT - _MARGIN).timestamp()


def in_time(outcome: Outcome, left: float) -> Outcome:
    """Return what becomes of an event whose answer is there for `left` seconds more: no retry waits for longer."""
    if not isinstance(outcome, RetryIn | DeferFor) or outcome.seconds <= left:
        return outcome
    return (
        replace(outcome, seconds=left)
        if left > 0
        else Dead("the ERP keeps a background answer for 24 hours, and they are over")
    )
