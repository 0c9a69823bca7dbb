"""Which streams a text means, as a glob or the name of an event in any spelling; and which records."""

from fnmatch import fnmatchcase

from config.publishers import UNLISTED
from router.events.catalogue import Catalogue


def is_glob(text: str) -> bool:
    """Return whether a text is a glob, and not a name."""
    return not {"*", "?", "["}.isdisjoint(text)


def fits(stream: str, glob: str) -> bool:
    """Return whether a glob, in any case, means a stream; without a slash it is one over types, of any publisher."""
    glob = glob.lower()
    return fnmatchcase(stream, glob) or ("/" not in glob and fnmatchcase(stream.partition("/")[2], glob))


def named(catalogue: Catalogue, text: str) -> tuple[str, ...]:
    """Return the streams of the listed events that go by this name, in whatever spelling; none for anything else."""
    publisher, slash, name = text.rpartition("/")
    slugs = [publisher.lower()] if slash else list(catalogue.publishers)
    found = ((slug, catalogue.match(slug, name)) for slug in slugs)
    return tuple(f"{slug}/{event.type}" for slug, event in found if event)


def select(catalogue: Catalogue, text: str) -> tuple[str, ...]:
    """Return the streams that a glob or a name means; raises UnknownStream, which suggests similar names."""
    streams = tuple(stream for stream in catalogue.streams() if fits(stream, text))
    return streams or named(catalogue, text) or catalogue.select(text)


def short(catalogue: Catalogue, stream: str) -> str:
    """Return the name of a stream for people: its type alone where no other publisher has an event of that name."""
    type_ = stream.partition("/")[2]
    return type_ if type_ != UNLISTED and len(named(catalogue, type_)) == 1 else stream


def is_resource(name: str | None, wanted: str) -> bool:
    """Return whether the name of a record is the wanted one, or matches it as a glob: `inventory/A[1]` is both."""
    return name == wanted or fnmatchcase(name or "", wanted)
