"""Every Redis key the router uses, as functions of their parts.

All keys of one stream (`publisher/type`) carry the same hash tag, so on a Redis Cluster they live on one node and one
script may touch several of them.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

LINES: Final = (
    "lines",
    "bodies",
    "ready",
    "turns",
    "due",
    "quiet",
    "running",
    "owners",
    "busy",
    "held",
    "stopped",
    "crashed",
    "length",
    "read",
    "mover",
    "wake",
    "clock",
    "trials",
    "pauses",
)
"""What the lines of a keyed subscription consist of: lib/lines.lua says what is in each."""

ECHO: Final = b"1"
"""Why a handler was left out: the record held nothing new but writes of ours."""
ONCE: Final = b"once"
"""Likewise: its effect was there already, as a marker of `once` said."""


def publisher_of(key: str) -> str:
    """Return the publisher that a stream or a quarantine is of, by its key; empty for a key of another kind."""
    return key.partition("{")[2].partition("}")[0].partition("/")[0]


class Keys:
    """The key names under one prefix; `stream` is always the name `publisher/type`."""

    def __init__(self, prefix: str = "er") -> None:
        self.prefix = prefix
        self.events = lru_cache(maxsize=4096)(self._events)

    def _tagged(self, tag: str, rest: str) -> str:
        return f"{self.prefix}:{{{tag}}}:{rest}"

    def _events(self, stream: str) -> str:
        """Return the stream that holds the events themselves."""
        return self._tagged(stream, "events")

    def seen(self, tag: str, notification_id: str) -> str:
        """Return the deduplication marker of a notification; its value is the entry id, its TTL the window."""
        return f"{self.prefix}:{{{tag}}}:seen:{notification_id}"

    def inbox(self, stream: str, subscription: str) -> str:
        """Return the stream of deliveries that only this subscription gets: retries, replays, taken-over work."""
        return self._tagged(stream, f"inbox:{subscription}")

    def source(self, stream: str, subscription: str, *, inbox: bool) -> str:
        """Return what a subscription reads: the stream itself, or its inbox of that stream."""
        return self.inbox(stream, subscription) if inbox else self.events(stream)

    def replayed(self, stream: str, subscription: str, week: int) -> str:
        """Return the hash of the events that were replayed to the subscription in a week: 1 by entry id and replay."""
        return self._tagged(stream, f"inbox:{subscription}:replayed:{week}")

    def due(self, stream: str, subscription: str) -> str:
        """Return the sorted set of scheduled retries: parked entry id by due time (epoch milliseconds)."""
        return self._tagged(stream, f"due:{subscription}")

    def parked(self, stream: str, subscription: str) -> str:
        """Return the stream that holds the bodies of the scheduled retries."""
        return self._tagged(stream, f"due:{subscription}:bodies")

    def dead(self, stream: str, subscription: str) -> str:
        """Return the stream of the subscription's dead letters."""
        return self._tagged(stream, f"dead:{subscription}")

    def restored(self, stream: str, subscription: str) -> str:
        """Return the hash of the dead letters that were imported: their entry ids by what names them in the export."""
        return self._tagged(stream, f"dead:{subscription}:imported")

    def buried(self, stream: str, subscription: str, ref: str) -> str:
        """Return what says that an event of a keyed subscription has become a dead letter, and which entry that is."""
        return self._tagged(stream, f"dead:{subscription}:buried:{ref}")

    def put_aside(self, stream: str, subscription: str, ref: str) -> str:
        """Return what says that an event of a keyed subscription was put into the inbox, and which entry that is."""
        return self._tagged(stream, f"inbox:{subscription}:aside:{ref}")

    def quarantine(self, publisher: str) -> str:
        """Return the stream of signed bodies that could not be read."""
        return self._tagged(publisher, "quarantine")

    def consumers(self, subscription: str) -> str:
        """Return the sorted set of live consumers by their last heartbeat (epoch milliseconds)."""
        return self._tagged(f"subscription:{subscription}", "consumers")

    def pause(self, subscription: str) -> str:
        """Return the stream of the subscription's pauses; its last entry says whether it is paused."""
        return self._tagged(f"subscription:{subscription}", "pause")

    def halted(self, subscription: str) -> str:
        """Return the hash of the consumers that have confirmed a pause: its entry id by consumer."""
        return self._tagged(f"subscription:{subscription}", "halted")

    def filter(self, subscription: str) -> str:
        """Return the hash of the subscription's filter, and of how much it skipped: see `workers.state.filters`."""
        return self._tagged(f"subscription:{subscription}", "filter")

    def lines(self, subscription: str) -> tuple[str, ...]:
        """Return all keys of a keyed subscription's lines, in the order that their scripts know (lib/lines.lua).

        One bucket, `0`, holds all of a subscription: so companies take turns among all its events.
        """
        return tuple(self._tagged(f"{subscription}:0", name) for name in LINES)

    def limits(self) -> str:
        """Return the sorted set of the limits by when a worker last used them (epoch milliseconds)."""
        return self._tagged("limit:", "names")

    def limited(self, limit: str) -> str:
        """Return the sorted set of those that a limit has quotas of, by when they were last used."""
        return self._tagged(f"limit:{limit}", "subjects")

    def limited_by(self, limit: str) -> str:
        """Return the sorted set of the workers that share a limit, by when they last used it."""
        return self._tagged(f"limit:{limit}", "workers")

    def quota(self, limit: str, subject: str) -> str:
        """Return the hash of the quota that a limit has for one subject: see limits/quota.lua."""
        return self._tagged(f"limit:{limit}", f"quota:{subject}")

    def breakers(self) -> str:
        """Return the sorted set of the breakers by when a worker last used them (epoch milliseconds)."""
        return self._tagged("breaker:", "names")

    def breaker(self, name: str) -> str:
        """Return the hash of a breaker: see breakers/breaker.lua."""
        return self._tagged(f"breaker:{name}", "state")

    def sweeping(self, reconciliation: str, company: str) -> str:
        """Return the lease of the process that sweeps the records of a company; its value is that sweep's own."""
        return self._tagged(f"reconcile:{reconciliation}", f"lease:{company}")

    def swept(self, reconciliation: str, company: str) -> str:
        """Return the hash of how far the sweeps of a company are: see `workers.state.reconcile`."""
        return self._tagged(f"reconcile:{reconciliation}", f"state:{company}")

    def judged(self, reconciliation: str, company: str) -> str:
        """Return the hash of the records near the cursor that were seen: when each was changed, by its name."""
        return self._tagged(f"reconcile:{reconciliation}", f"judged:{company}")

    def known_records(self, reconciliation: str, company: str) -> str:
        """Return the hash of the records that were there: when each was changed (epoch milliseconds), by its name."""
        return self._tagged(f"reconcile:{reconciliation}", f"records:{company}")

    def buried_records(self, reconciliation: str, company: str) -> str:
        """Return the hash of the records that the last sweep took for gone: when each was changed, by its name."""
        return self._tagged(f"reconcile:{reconciliation}", f"buried:{company}")

    def versions(self, record: Sequence[str]) -> str:
        """Return the hash of what is known of the versions of a record of an ERP: see echoes/versions.lua."""
        digest = sha256("\0".join(record).encode(errors="backslashreplace")).hexdigest()[:32]
        return self._tagged(f"echo:{digest}", "versions")

    def echoed(self, stream: str, subscription: str, event_id: str) -> str:
        """Return what says why the handler of a subscription was left out for an event: ECHO or ONCE; for a week."""
        return self._tagged(stream, f"echo:{subscription}:{event_id}")

    def forwards(self) -> str:
        """Return the hash of the forwards: where each goes and how its last exchange ended, by name."""
        return self._tagged("forward", "last")

    def incidents(self) -> str:
        """Return the hash of the incidents that last: see incidents/incident.lua."""
        return self._tagged("incidents", "open")

    def notices(self) -> str:
        """Return the stream of notices: that an incident began, or that it ended."""
        return self._tagged("incidents", "notices")

    def muted(self) -> str:
        """Return the hash of the incidents that nobody wants to hear of: until when (epoch milliseconds) by name."""
        return self._tagged("incidents", "muted")

    def archived(self, stream: str) -> str:
        """Return the hash of how far a stream is archived: see archive/next.lua."""
        return self._tagged(stream, "archived")

    def archiving(self) -> str:
        """Return the lease of the process that writes to the archive; its value is that process's own."""
        return self._tagged("janitor", "archiving")

    def archive_state(self) -> str:
        """Return the hash of how the last round of the archive ended: see `workers.state.archive`."""
        return self._tagged("janitor", "archive")

    def notifiers(self) -> str:
        """Return the sorted set of the notifiers by when a process last had them in its settings (epoch ms)."""
        return self._tagged("incidents", "notifiers")

    def notifying(self, notifier: str) -> str:
        """Return the lease of the process that reads the notices for a notifier."""
        return self._tagged("incidents", f"notifier:{notifier}:lease")

    def notified(self, notifier: str) -> str:
        """Return the hash of how a notifier fares: see `workers.notify.state`."""
        return self._tagged("incidents", f"notifier:{notifier}:state")

    def traffic(self, hour: int) -> str:
        """Return the hash of what came to the ingresses in an hour, counted since 1970: see traffic/note.lua."""
        return self._tagged("traffic", f"hour:{hour}")

    def refusals(self) -> str:
        """Return the hash of the publishers of which all requests are refused: see traffic/note.lua."""
        return self._tagged("traffic", "refused")

    def spools(self) -> str:
        """Return the hash of the spools that hold something, by process: see traffic/note.lua."""
        return self._tagged("traffic", "spools")

    def watching(self) -> str:
        """Return the lease of the worker that watches for silence and other incidents."""
        return self._tagged("traffic", "watcher")

    def learnt(self) -> str:
        """Return the hash of what is known of the traffic of each subject, which only that worker writes."""
        return self._tagged("traffic", "learnt")

    def learning(self) -> str:
        """Return the lease of the worker that learns the fields of each type."""
        return self._tagged("drift", "learner")

    def schemas(self) -> str:
        """Return the hash of what is known of the fields of each type, by stream; only that worker writes it."""
        return self._tagged("drift", "schemas")

    def janitor(self) -> str:
        """Return the claim of the worker that does the present round of retention; its TTL is the interval."""
        return self._tagged("janitor", "round")

    def streams(self) -> str:
        """Return the sorted set of streams by when a worker last had them in its catalogue (epoch milliseconds)."""
        return self._tagged("janitor", "streams")

    def audit(self) -> str:
        """Return the stream of audit lines."""
        return f"{self.prefix}:audit"

    def copied(self, stream: str) -> str:
        """Return the stream that one, by its key, is copied to before its copy takes its place; on the same node."""
        return f"{stream}:copy" if "{" in stream else f"{{{stream}}}:copy"

    def erasures(self) -> str:
        """Return the sorted set of erasures, as digests of whose data went, by when each began (epoch ms)."""
        return self._tagged("erasures", "noted")

    def erasing(self) -> str:
        """Return the lease of the one erasure under way."""
        return self._tagged("erasures", "lease")

    def sign_in_link(self, digest: str) -> str:
        """Return what says that a link into the console was used; its TTL outlasts the link."""
        return self._tagged("console", f"link:{digest}")
