"""What else can be wrong with an installation, and what to do about it: pure judgements of what `doctor` found out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.settings import Settings
from router.access import EMBEDDED
from router.catalogue import Catalogue
from router.secrets import secrets_of
from router.store_checks import Check

__all__ = ["Conversation", "SpoolFolder", "Waiting", "judge_conversation", "judge_publishers", "judge_spool"]

_CLOCKS_APART = 5.0  # seconds
_SLOW = 0.05  # seconds
_MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class Conversation:
    """How it is to talk to a server: seconds for a round trip, seconds its clock is ahead of ours, and as whom.

    What the server does not tell is None.
    """

    server: str
    round_trip: float
    ahead: float | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A spool file that no process holds: its bytes on disk, and how many events it has (None: it cannot be read)."""

    file: Path
    size: int
    events: int | None


@dataclass(frozen=True, slots=True)
class SpoolFolder:
    """Where ingress spools: whether it can write there, the bytes free and those taken, and what was left over."""

    folder: Path
    writable: bool
    free: int
    taken: int = 0
    waiting: Sequence[Waiting] = field(default_factory=tuple)


def judge_publishers(settings: Settings, catalogue: Catalogue) -> Iterator[Check]:
    """Say of each publisher whether its webhooks are let in, and whether anybody's are."""
    open_to = [slug for slug in catalogue.publishers if settings.allows_unsigned(slug) or secrets_of(settings, slug)]
    for slug in catalogue.publishers:
        name, secrets = f"publisher {slug}", secrets_of(settings, slug)
        if settings.allows_unsigned(slug):
            detail = "ALLOWS UNSIGNED WEBHOOKS: anyone who reaches the port can forge its events"
            yield Check(name, "warning", detail, "take it out of allow_unsigned, and set its secret")
        elif secrets:
            yield Check(name, "ok", f"{len(secrets)} secret{'s' if len(secrets) > 1 else ''}")
        else:
            advice = f"set ROUTER_SECRETS__{slug.upper().replace('-', '_')} if it is to send here"
            if settings.redis.url == EMBEDDED:
                advice += "; `event-router up` makes one"
            yield Check(name, "warning" if open_to else "failed", "no secret: everything it sends is refused", advice)


def judge_spool(spool: SpoolFolder, most: int) -> Iterator[Check]:
    """Judge the folder of the spool, which may take `most` bytes; 0 is no spool."""
    yield _room(spool, most)
    for left in spool.waiting:
        yield _left_over(left)


def judge_conversation(found: Conversation) -> Iterator[Check]:
    """Judge how it is to talk to a server."""
    of = f" of {found.server}" if found.server else ""
    yield _round_trip(f"round trip{of}", found.round_trip)
    if found.ahead is not None:
        yield _clock(f"clock{of}", found.ahead)
    if found.user is not None:
        yield Check(f"user{of}", "ok", found.user)


def _room(spool: SpoolFolder, most: int) -> Check:
    name = "spool"
    if not most:
        return Check(name, "ok", "none: while the store is away, webhooks are answered with 503")
    if not spool.writable:
        advice = "make it writable, set data_dir, or ingress.spool_max_bytes = 0 to go without a spool"
        return Check(name, "failed", f"{spool.folder} cannot be written to: ingress does not start", advice)
    room = f"{spool.free / _MIB:.0f} MiB free in {spool.folder}"
    if spool.free + spool.taken < most:
        detail = f"{room}, less than the {most / _MIB:.0f} MiB of ingress.spool_max_bytes"
        return Check(name, "warning", detail, "make room, or set ingress.spool_max_bytes lower")
    return Check(name, "ok", room)


def _left_over(left: Waiting) -> Check:
    name, size = f"spool file {left.file.name}", f"{left.size / 1024:.0f} KiB"
    if left.events is None:
        advice = f"let ingress read {left.file}; if it is damaged, keep it: sqlite3 FILE .recover may save its events"
        return Check(name, "warning", f"cannot be read, {size}: its events are not in the store", advice)
    advice = f"start ingress with data_dir = {left.file.parent.parent}, and it puts them into the store"
    return Check(name, "warning", f"{left.events} events, {size}: left by an ingress that has ended", advice)


def _round_trip(name: str, seconds: float) -> Check:
    detail = f"{seconds * 1000:.1f} ms"
    if seconds <= _SLOW:
        return Check(name, "ok", detail)
    detail += ": every batch of webhooks and every step of a worker waits that long"
    return Check(name, "warning", detail, "run ingress and workers closer to the server, or see what keeps it busy")


def _clock(name: str, ahead: float) -> Check:
    if abs(ahead) <= _CLOCKS_APART:
        return Check(name, "ok", f"within {_CLOCKS_APART:g} s of this machine's")
    detail = (
        f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's: received_at, ages and --since are "
        "off by that (retries, leases and deduplication go by the server's clock alone)"
    )
    return Check(name, "warning", detail, "let both machines keep time by NTP")
