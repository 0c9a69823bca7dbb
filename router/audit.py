"""The audit: who changed what in the store, or saw what is hidden otherwise, and why.

Each line is an entry of one bounded stream, and goes to the log as well: where the store is lost on the way, it is at
least there.
"""

import getpass
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from config.errors import told
from router import logs
from router.merging import newest_first
from router.pages import Span, moment_of
from router.store import STORE_ERRORS, Store

__all__ = ["KEPT", "AuditLine", "lines", "record", "whoami"]

KEPT: Final = 100_000
"""How many lines are kept, the newest; the server may keep a few more."""

_MOST_DIGITS = 15

_log = logs.get("audit")


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line: `matched` was meant, `changed` was done, `failed` was refused; `error` says why it ended early."""

    id: str
    at: datetime
    verb: str
    actor: str
    subject: str = ""
    selector: Mapping[str, Any] = field(default_factory=dict)
    matched: int = 0
    changed: int = 0
    failed: int = 0
    reason: str = ""
    error: str = ""


async def record(
    store: Store,
    verb: str,
    *,
    subject: str = "",
    selector: Mapping[str, Any] | None = None,
    matched: int = 0,
    changed: int = 0,
    failed: int = 0,
    reason: str = "",
    actor: str | None = None,
    error: str = "",
) -> None:
    """Append one line, and log it; `actor` is user@host of this process unless given.

    A store that does not take it is logged and raises nothing: what the line tells of has happened.
    """
    texts = {"verb": verb, "actor": actor or whoami(), "subject": subject, "reason": reason, "error": error}
    counts = {"matched": matched, "changed": changed, "failed": failed}
    said = {name: text for name, text in texts.items() if text}
    _log.warning("audited", **said, selector=dict(selector or {}), **counts)
    fields = {**{name: _bytes(text) for name, text in said.items()}, **counts, "selector": _encoded(selector)}
    pairs = [part for pair in fields.items() for part in pair]
    (reply,) = await store.commands([("XADD", store.keys.audit(), "MAXLEN", "~", KEPT, "*", *pairs)])
    if isinstance(reply, BaseException):
        if not isinstance(reply, STORE_ERRORS):
            raise reply
        _log.error("audit_not_stored", verb=verb, error=told(reply))


async def lines(
    store: Store,
    *,
    verb: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> AsyncIterator[AuditLine]:
    """Yield lines, newest first: of verbs that fit a glob, of actors whose name has this part, in either case.

    Raises StoreUnavailable.
    """
    async for _, (entry_id, fields) in newest_first(store, [store.keys.audit()], Span.between(since, until)):
        line = _line(entry_id, fields)
        if _fits(line, verb, actor):
            yield line


def whoami() -> str:
    """Return user@host of this process; the number of a user without a name, as containers have."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _fits(line: AuditLine, verb: str | None, actor: str | None) -> bool:
    return (verb is None or fnmatchcase(line.verb.lower(), verb.lower())) and (
        actor is None or actor.lower() in line.actor.lower()
    )


def _line(entry_id: bytes, fields: Mapping[bytes, bytes]) -> AuditLine:
    """Read an entry; never raises, whatever somebody may have written there."""
    values: dict[str, Any] = {"selector": _decoded(fields.get(b"selector", b""))}
    for name in ("verb", "actor", "subject", "reason", "error"):
        values[name] = fields.get(name.encode(), b"").decode(errors="replace")
    for name in ("matched", "changed", "failed"):
        values[name] = _number(fields.get(name.encode(), b""))
    return AuditLine(id=entry_id.decode(), at=moment_of(entry_id), **values)


def _bytes(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _encoded(selector: Mapping[str, Any] | None) -> bytes:
    return msgspec.json.encode(dict(selector or {}), enc_hook=str)


def _decoded(text: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) < _MOST_DIGITS else 0
