"""What is said of an incident: what happened, what to do, and the command for it."""

from collections.abc import Mapping
from datetime import timedelta
from shlex import quote
from typing import Final

from router.store.reading import moment_at
from router.store.watched.traffic import Refused
from workers.incidents import SUBJECT, Incident
from workers.silence.ledger import Silence

__all__ = ["away", "backlog", "dead", "memory", "named", "paused", "quota", "refused", "silence", "spool", "stuck"]

_REFUSALS: Final[Mapping[str, str]] = {
    "signature": "their signatures do not match",
    "unsigned": "they have no signature",
    "no_secret": "it has no secret here",
    "address": "their address is not allowed",
}


def silence(found: Silence) -> Incident:
    """Say that nothing came."""
    since = f"Nothing has come from {found.subject} since {_moment(found.last)}"
    if found.never:
        since = f"Nothing has come from {found.subject} yet, and it has been waited for since {_moment(found.last)}"
    how = f"which is longer than {_span(found.after)}" if found.after else "which is much longer than it ever takes"
    if "/" in found.subject:
        do = "See whether the company still has its webhooks; mute it where it has left."
        command = f"event-router incidents mute silence {quote(found.subject)}"
    elif found.never:
        do = "Register its webhook in the ERP, and see whether its requests reach the ingress."
        command = "event-router doctor"
    else:
        do = "See in the ERP whether its webhooks are on, and whether its requests reach the ingress."
        command = "event-router doctor"
    return Incident("silence", found.subject, found.last, f"{since}, {how}.", do, command)


def refused(publisher: str, found: Refused) -> Incident:
    """Say that all requests are refused."""
    why = _REFUSALS.get(found.reason, found.reason)
    what = f"All requests as {publisher} have been refused since {_moment(found.since)}: {why}."
    do = "Compare its secret in the ERP with the one here; while it is rotated, keep both."
    if found.reason == "address":
        do = "Compare ingress.allow with the addresses that the ERP sends from."
    return Incident("refused", publisher, found.since, what, do, "event-router doctor")


def away(since: int) -> Incident:
    """Say that no ingress listens."""
    what = f"No ingress has listened since {_moment(since)}: webhooks get no answer."
    return Incident("down", "ingress", since, what, "Start the ingress, or see why it ends.", "event-router ingress")


def stuck(name: str, since: int) -> Incident:
    """Say that workers live, and finish nothing."""
    what = f"{name} finishes nothing, and events have been waiting for it since {_moment(since)}."
    do = "See what its handlers wait for: a call without a time-out, or a target that does not answer."
    return Incident("idle", name, since, what, do, "event-router top")


def backlog(name: str, since: int) -> Incident:
    """Say that nobody works."""
    what = f"Nobody works for {name}, and events have been waiting for it since {_moment(since)}."
    do = "Start a worker with its module; remove the subscription where nobody needs it any more."
    return Incident("idle", name, since, what, do, "event-router subscriptions list")


def paused(name: str, since: int) -> Incident:
    """Say that a pause lasts."""
    what = f"{name} has been paused since {_moment(since)}, and handles nothing."
    return Incident("idle", name, since, what, "Resume it.", f"event-router subscriptions resume {quote(name)}")


def dead(name: str, since: int) -> Incident:
    """Say that dead letters grow."""
    what = f"{name} has been giving up events since {_moment(since)}: its dead letters grow."
    do = "Look at the errors, mend what causes them, and replay the dead letters."
    return Incident("dead", name, since, what, do, f"event-router dlq stats --subscription {quote(name)}")


def quota(limit: str, subject: str, since: int) -> Incident:
    """Say that a quota is spent."""
    of = f" of {subject}" if subject else ""
    what = f"The quota{of} for {limit} has been spent since {_moment(since)}: events wait for it."
    do = "Wait until it is whole again, have less called, or ask for a larger one."
    return Incident("quota", named(limit, subject), since, what, do, f"event-router limits show {quote(limit)}")


def memory(server: str, since: int) -> Incident:
    """Say that a server is nearly full."""
    what = f"The memory of {server} has been nearly full since {_moment(since)}: a full server takes no more events."
    do = "Raise maxmemory, or find out which subscription lags."
    return Incident("memory", server, since, what, do, "event-router streams")


def named(limit: str, subject: str) -> str:
    """Return what a quota is called as the subject of an incident, which has to be the one that is kept."""
    return f"{limit}/{subject}"[:SUBJECT] if subject else limit


def spool(process: str, since: int) -> Incident:
    """Say that events wait on disk."""
    what = f"Ingress {process} has kept events on its disk since {_moment(since)}: the store does not take them."
    return Incident("spool", process, since, what, "See whether Redis runs and has room.", "event-router doctor")


def _moment(millis: int) -> str:
    return f"{moment_at(millis):%Y-%m-%d %H:%M} UTC"


def _span(seconds: float) -> str:
    left = timedelta(seconds=round(seconds))
    hours, rest = divmod(left.seconds, 3600)
    parts = ((left.days, "d"), (hours, "h"), (rest // 60, "m"), (rest % 60, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
