"""What waits in a spool and was erased since it was received: it does not go to the store any more."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from config.publishers import Publisher
from router.events.named import named_in
from router.events.whose import Pair, Whose, event_pair
from router.intake.entry import Entry
from router.intake.erasures import Erasures, Noted
from router.store.errors import StoreRefused
from router.store.record import EVENT, ID, RAW, millis_of, text_of
from router.telemetry import logs

__all__ = ["Erased", "belongs_to", "fields_of"]

_log = logs.get("spool")


class Erased:
    """What the store notes of erasures; `publishers` tells how each names whose an item is."""

    def __init__(self, erasures: Erasures, publishers: Callable[[], Mapping[str, Publisher]] = dict) -> None:
        self._erasures = erasures
        self._load = publishers
        self._noted: Sequence[Noted] = ()
        self._is_refused = False

    @cached_property
    def _publishers(self) -> Mapping[str, Publisher]:
        return self._load()

    async def look(self) -> None:
        """Look which erasures there were; raises StoreUnavailable. Where the server forbids it, nothing is known."""
        try:
            self._noted = await self._erasures.noted()
        except StoreRefused as error:  # as the ACL of an older version does: the spool is drained all the same
            if not self._is_refused:
                _log.warning("erasures_not_known", error=str(error))
            self._is_refused = True

    def has(self, entry: Entry) -> bool:
        """Return whether an entry was received before its owner's data was erased."""
        if not self._noted:
            return False
        fields = fields_of(entry)
        at, pairs = millis_of(fields), pairs_of(entry.stream, fields, self._publishers)
        return any(at <= noted.at and is_wanted(noted.whose, entry.stream, pairs) for noted in self._noted)


def belongs_to(whose: Whose, entry: Entry, publishers: Mapping[str, Publisher]) -> Pair | None:
    """Return the tenant and company of an entry that is theirs; None for one of others."""
    pairs = pairs_of(entry.stream, fields_of(entry), publishers)
    return next(iter(pairs), ("", "")) if is_wanted(whose, entry.stream, pairs) else None


def fields_of(entry: Entry) -> dict[bytes, bytes]:
    """Return the fields of an entry as the store would have them."""
    parts = [part if isinstance(part, bytes) else str(part).encode(errors="backslashreplace") for part in entry.fields]
    return dict(zip(parts[::2], parts[1::2], strict=False))


def pairs_of(key: str, fields: Mapping[bytes, bytes], publishers: Mapping[str, Publisher]) -> Sequence[Pair]:
    """Return whose an entry is that is to be appended to a stream, by its key."""
    stream = _tag(key)
    if (pair := event_pair(fields.get(EVENT, b""), text_of(fields, ID), stream)) is not None:
        return [pair]
    return named_in(publishers.get(stream.partition("/")[0]), fields.get(RAW, b""))


def is_wanted(whose: Whose, key: str, pairs: Iterable[Pair]) -> bool:
    """Return whether what these name, on its way to a stream by its key, is theirs."""
    return whose.wants_publisher(_tag(key).partition("/")[0]) and whose.wants_any(pairs)


def _tag(key: str) -> str:
    return key.partition("{")[2].partition("}")[0]
