"""What else can be wrong with an installation, and what to do about it: pure judgements of what `doctor` found out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.settings import Settings
from router.cli.output.results import age, number_of, stamp
from router.embedded.access import EMBEDDED
from router.events.catalogue import Catalogue
from router.ingress.signing_secrets import secrets_of
from router.store.health.judgement import Check
from workers.state.breakers import BreakerState

_CLOCKS_APART = 5.0  # seconds
_SLOW = 0.05  # seconds
_MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A spool file: its bytes on disk, and how many events it has, where no ingress holds it and it can be read.

    What waits in a file that a running ingress has locked only that ingress can say.
    """

    file: Path
    size: int
    events: int | None = None


@dataclass(frozen=True, slots=True)
class Ingress:
    """What a running ingress says of itself, by its name, and where it answers.

    takes_token: whether it takes the token of these settings; else it says nothing more. events, size, age: how many
    events and bytes its spool has, and for how many seconds; events is None where it has no spool. read_at: when it
    read its settings (epoch seconds). secrets: how many it has of each publisher.
    """

    name: str
    url: str = ""
    takes_token: bool = True
    events: int | None = None
    size: int = 0
    age: float = 0.0
    read_at: float | None = None
    secrets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpoolFolder:
    """Where ingress spools: whether it can write there, the bytes free and taken, what is left over and what in use."""

    folder: Path
    writable: bool
    free: int
    taken: int = 0
    waiting: Sequence[SpooledFile] = ()
    held: Sequence[SpooledFile] = ()


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


def judge_spooling(held: Sequence[SpooledFile], running: Sequence[Ingress]) -> Iterator[Check]:
    """Say what running ingresses spool: those that were asked, and the files of those that could not be."""
    spooling = [ingress for ingress in running if ingress.events is not None]
    for ingress in spooling:
        yield _spooling(ingress, ingress.events or 0)
    where = "" if len(spooling) >= len(held) else "; event_router_spool_entries on its operations port tells what waits"
    for file in held:
        detail = f"in use by a running ingress, {_kib(file.size)} on disk{where}"
        yield Check(f"spool file {file.file.name}", "ok", detail)


def judge_warning(process: str, subscription: str, text: str) -> Check:
    """Say what a running worker warns of about one of its subscriptions."""
    detail, _, advice = text.partition(": ")
    return Check(f"subscription {subscription}", "warning", detail, advice or f"ask worker {process}")


def judge_breaker(breaker: BreakerState) -> Check:
    """Say whether what handlers call is down."""
    name = f"breaker {breaker.name}"
    if not breaker.is_open:
        return Check(name, "ok", "closed")
    since = f"for {age(breaker.since)} (since {stamp(breaker.since)})" if breaker.since else "now"
    detail = f"open {since}: {breaker.reason or 'calls fail'}; what needs it waits, and uses up no attempt"
    return Check(
        name, "warning", detail, "see whether it is up, and can be reached from the workers: the rest is automatic"
    )


def judge_conversation(
    server: str, round_trip: float, ahead: float | None = None, user: str | None = None
) -> Iterator[Check]:
    """Judge how it is to talk to a server: seconds for a round trip, seconds its clock is ahead of ours, and as whom.

    What the user may not ask the server is None.
    """
    of = f" of {server}" if server else ""
    yield _round_trip(f"round trip{of}", round_trip)
    yield _not_allowed(f"clock{of}", "TIME") if ahead is None else _clock(f"clock{of}", ahead)
    yield _not_allowed(f"user{of}", "ACL WHOAMI") if user is None else Check(f"user{of}", "ok", user)


def _not_allowed(name: str, command: str) -> Check:
    return Check(name, "warning", "not allowed to look", f"allow the user of redis.url the command {command}")


def _spooling(found: Ingress, events: int) -> Check:
    name = f"spool of {found.name}"
    if not events:
        return Check(name, "ok", "nothing waits")
    since = datetime.now(UTC) - timedelta(seconds=found.age)
    detail = f"{number_of(events, 'event')}, {_kib(found.size)}, for {age(since)} (since {stamp(since)})"
    return Check(name, "warning", detail, "mend the store, which does not take them: they follow by themselves")


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


def _left_over(left: SpooledFile) -> Check:
    name, size = f"spool file {left.file.name}", _kib(left.size)
    if left.events is None:
        advice = f"let ingress read {left.file}; if it is damaged, keep it: sqlite3 FILE .recover may save its events"
        return Check(name, "warning", f"cannot be read, {size}: its events are not in the store", advice)
    advice = f"start ingress with data_dir = {left.file.parent.parent}, and it puts them into the store"
    return Check(name, "warning", f"{left.events} events, {size}: left by an ingress that has ended", advice)


def _kib(size: int) -> str:
    return f"{size / 1024:.0f} KiB"


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
