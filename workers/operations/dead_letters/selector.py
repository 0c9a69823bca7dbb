"""Which dead letters are selected: one grammar for every command that reads or changes them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from router.events.globs import fits, is_resource
from router.store.reading import Span
from workers.operations.criteria import Criteria, Ids, within
from workers.operations.dead_letters.entry import DeadLetterEntry


@dataclass(frozen=True, slots=True)
class Selector(Criteria):
    """What a dead letter must be like, in every respect that is given.

    events: globs over `publisher/type`, separated by commas; one without a slash is over the type, whichever the
    publisher.
    subscription: its name. error: glob over the class of the last error. text: part of its message, or of the reason.
    fingerprint: what went wrong, by its short name. resource: glob such as `customer/*`. company: its id in the ERP.
    attempts: how many it took at the least.
    since, until: when the event died, both included. ids: of events or of entries, in lower case. shortened: likewise,
    as a narrow table shows them, with an ellipsis for what is left out.

    Case matters only in the subscription and the resource.
    """

    events: str | None = None
    subscription: str | None = None
    error: str | None = None
    text: str | None = None
    resource: str | None = None
    attempts: int = 0
    since: datetime | None = None
    until: datetime | None = None
    ids: frozenset[str] = frozenset()
    shortened: frozenset[str] = frozenset()
    fingerprint: str | None = None
    company: str | None = None

    @property
    def is_of_places(self) -> bool:
        """Whether it selects all that is in some places, so that nobody needs to look at what that is."""
        return self == Selector(events=self.events, subscription=self.subscription)

    def narrowed(self, *ids: str) -> "Selector":
        """Return the same selector for these ids only, in whatever case they are written."""
        found = Ids.of(ids)
        return replace(self, ids=found.whole, shortened=found.shortened)

    def streams(self, known: Iterable[str]) -> tuple[str, ...]:
        """Return those of the known streams that it wants."""
        return tuple(stream for stream in known if self.wants_stream(stream))

    def wants_stream(self, stream: str) -> bool:
        """Return whether the events of a stream, `publisher/type`, are wanted."""
        return self.events is None or any(fits(stream, glob) for glob in self.events.split(","))

    def wants_subscription(self, name: str) -> bool:
        """Return whether the dead letters of a subscription are wanted."""
        return self.subscription in (None, name)

    def matches(self, letter: DeadLetterEntry) -> bool:
        """Return whether a dead letter is wanted."""
        return (
            self.wants_stream(letter.stream)
            and self.wants_subscription(letter.subscription)
            and letter.used >= self.attempts
            and within(letter.died_at, self.since, self.until)
            and Ids(self.ids, self.shortened).want(letter.entry_id, letter.event_id)
            and (self.resource is None or is_resource(letter.resource, self.resource))
            and (self.company is None or self.company == letter.company_id)
            and (self.error is None or _is_class(letter.error, self.error))
            and (self.fingerprint is None or self.fingerprint.lower() == letter.fingerprint)
            and (self.text is None or self.text.lower() in f"{letter.message}\n{letter.reason}".lower())
        )

    def span(self) -> Span:
        """Return the entries that can match at all, by their ids: reading more would be in vain.

        An imported dead letter has a younger id than its death, so `until` bounds nothing.
        """
        return Ids(self.ids, self.shortened).span() or Span.between(self.since, None)


def _is_class(name: str, glob: str) -> bool:
    """Compare a class by its qualified name (`Client.Timeout`) and by the last part of it."""
    lower, glob = name.lower(), glob.lower()
    return fnmatchcase(lower, glob) or fnmatchcase(lower.rpartition(".")[2], glob)
