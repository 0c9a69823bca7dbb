"""The audit: who changed what in the store, or saw what is hidden otherwise, and why.

Each line is an entry of one bounded stream, and goes to the log as well: where the store is lost on the way, it is at
least there. A change has two entries, since nothing in the audit is ever changed: one before it begins, and one after
its end that names the first. So a process that was killed leaves a line, too.
"""

import asyncio
import getpass
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, NoReturn

import msgspec

from config.errors import RouterError, described
from router.store.client import Store
from router.store.errors import STORE_ERRORS, StoreRefused, StoreUnavailable
from router.store.merging import newest_first
from router.store.reading import Span, moment_of
from router.store.record import number_of, text_of
from router.tasks.ending import whole
from router.telemetry import logs

KEPT: Final = 100_000
"""How many entries are kept, the newest; the server may keep a few more."""

MATCHED, CHANGED, FAILED = "matched", "changed", "failed"
"""What every change counts, beside what is its own."""

INTERRUPTED: Final = "interrupted"
"""The error of a change that somebody stopped."""

_COUNTS = (MATCHED, CHANGED, FAILED)
_BEGUN = b"begun"

_log = logs.get("audit")


class NotAudited(RouterError):
    """What must leave a line in the audit did not happen, because the store does not take the line."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What is known of a change before it happens: who does what to what, and why.

    `actor` is user@host of this process unless given.
    """

    verb: str
    subject: str = ""
    selector: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine(Deed):
    """One line: a deed of which `matched` was selected, `changed` was done, `failed` was refused.

    `error` says why it ended early. A line that is not `finished` was begun and has no end: it is under way, or its
    process was killed. Then only `matched` is known.
    """

    id: str
    at: datetime
    matched: int = 0
    changed: int = 0
    failed: int = 0
    error: str = ""
    finished: bool = True


async def record(
    store: Store, deed: Deed, counts: Mapping[str, int], *, error: str = "", strictly: bool = False
) -> None:
    """Append one line of what has happened, with its counts (MATCHED, CHANGED, FAILED), and log it.

    A store that does not take it is logged and raises nothing: what the line says has happened. `strictly` raises
    StoreUnavailable or NotAudited, for what is to happen next.
    """
    reply = await _append(store, _log.warning, "audited", deed, counts, {"error": error})
    if strictly and isinstance(reply, BaseException):
        _must_not(reply)


@asynccontextmanager
async def accounted(store: Store, deed: Deed, counts: Counter[str], *, strictly: bool = False) -> AsyncIterator[None]:
    """Begin a line, and end it with the counts (MATCHED, CHANGED, FAILED) that were reached, however the block ends.

    A caller that is cancelled meanwhile waits until the end is written. A store that is away when the line is begun
    raises StoreUnavailable. One that refuses it is logged, since a store that is full must not keep anybody from
    purging; `strictly` raises NotAudited instead.
    """
    begun = await _append(store, _log.info, "audit_begun", deed, counts, {"state": "begun"})
    if isinstance(begun, BaseException) and (strictly or not isinstance(begun, StoreRefused)):
        _must_not(begun)
    error = ""
    try:
        yield
    except asyncio.CancelledError:
        error = INTERRUPTED
        raise
    except BaseException as failure:
        error = described(failure)
        raise
    finally:
        more = {"error": error, "begun": begun.decode() if isinstance(begun, bytes) else ""}
        await whole(_append(store, _log.warning, "audited", deed, counts, more))


async def lines(
    store: Store,
    *,
    verb: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> AsyncIterator[AuditLine]:
    """Yield lines, newest first: of verbs that fit a glob, of actors whose name has this part, in either case.

    What took a while is one line, at the time of its end. Raises StoreUnavailable.
    """
    ends = _Ends(store, until)
    async for _, (entry_id, fields) in newest_first(store, [store.keys.audit()], Span.between(since, until)):
        line = _line(entry_id, fields)
        ends.note(fields)
        if _fits(line, verb, actor) and (line.finished or not await ends.has(entry_id)):
            yield line


def whoami() -> str:
    """Return user@host of this process; the number of a user without a name, as containers have."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


class _Ends:
    """Which of the lines that were begun have ended; what is newer than `until` is read where that is asked for."""

    def __init__(self, store: Store, until: datetime | None) -> None:
        self._store = store
        self._until = until
        self._ended: set[bytes] = set()

    def note(self, fields: Mapping[bytes, bytes]) -> None:
        """Take note of an entry that may be the end of another."""
        if begun := fields.get(_BEGUN):
            self._ended.add(begun)

    async def has(self, entry_id: bytes) -> bool:
        """Return whether the line of this entry has ended; raises StoreUnavailable."""
        if entry_id not in self._ended and self._until is not None:
            later, self._until = Span.between(self._until, None), None
            async for _, (_, fields) in newest_first(self._store, [self._store.keys.audit()], later):
                self.note(fields)
        return entry_id in self._ended


async def _append(
    store: Store, log: Callable[..., Any], event: str, deed: Deed, counts: Mapping[str, int], more: Mapping[str, str]
) -> bytes | BaseException:
    """Append and log an entry; return its id, or why the store did not take it, which is logged."""
    given = {"verb": deed.verb, "actor": deed.actor or whoami(), "subject": deed.subject, "reason": deed.reason, **more}
    said = {name: text for name, text in given.items() if text}
    figures = {name: counts.get(name, 0) for name in _COUNTS}
    log(event, **said, selector=dict(deed.selector), **figures)
    selector = msgspec.json.encode(dict(deed.selector), enc_hook=str)
    fields = {
        **{name: text.encode(errors="backslashreplace") for name, text in said.items()},
        **figures,
        "selector": selector,
    }
    pairs = [part for pair in fields.items() for part in pair]
    reply: bytes | BaseException
    (reply,) = await store.commands([("XADD", store.keys.audit(), "MAXLEN", "~", KEPT, "*", *pairs)])
    if isinstance(reply, BaseException):
        if not isinstance(reply, STORE_ERRORS):
            raise reply
        _log.error("audit_not_stored", verb=deed.verb, error=described(reply))
    return reply


def _must_not(error: BaseException) -> NoReturn:
    """Raise because a line was not taken."""
    if not isinstance(error, StoreRefused):
        raise StoreUnavailable(described(error)) from error
    raise NotAudited(f"not done, since the audit does not take a line: {described(error)}") from error


def _fits(line: AuditLine, verb: str | None, actor: str | None) -> bool:
    return (verb is None or fnmatchcase(line.verb.lower(), verb.lower())) and (
        actor is None or actor.lower() in line.actor.lower()
    )


def _line(entry_id: bytes, fields: Mapping[bytes, bytes]) -> AuditLine:
    """Read an entry; never raises, whatever somebody may have written there."""
    values: dict[str, Any] = {"selector": _decoded(fields.get(b"selector", b""))}
    for name in ("verb", "actor", "subject", "reason", "error"):
        values[name] = text_of(fields, name.encode())
    for name in _COUNTS:
        values[name] = number_of(fields.get(name.encode()))
    finished = fields.get(b"state") != _BEGUN
    return AuditLine(id=entry_id.decode(), at=moment_of(entry_id), finished=finished, **values)


def _decoded(text: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
