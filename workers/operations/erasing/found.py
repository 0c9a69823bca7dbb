"""What the walk finds, and the places that it goes through: each knows what it has of somebody, and removes it."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from config.publishers import Publisher
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.fields import UnreadableEvent
from router.events.named import named_in
from router.events.whose import Pair, Whose, event_pair
from router.store import scripts
from router.store.client import Store
from router.store.reading import checked
from router.store.record import EVENT, ID, RAW, Fields, read_event, text_of
from router.store.scripts import Field
from workers.operations.audit import CHANGED

__all__ = ["LEFT", "Found", "Ground", "Place"]

LEFT: Final = "left"
"""What an erasure counts beside what every change does: what could not go yet, since a worker or a file has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something stored of whom it is looked for.

    where: the key, or the file. id: of the entry, the field or the member. whose: tenant and company, as far as known.
    content: what stands there. size: bytes to send for it. payload: what its place needs to remove it.
    """

    place: "Place"
    where: str
    id: str
    content: Mapping[Any, Any]
    whose: Pair = ("", "")
    size: int = 0
    payload: Any = None


@dataclass(frozen=True)
class Ground:
    """What the walk goes over: a store, and the streams and subscriptions that there are in it.

    groups: the subscriptions of each stream, former streams as well. is_erasing: whether what is found is removed.
    """

    store: Store
    catalogue: Catalogue
    whose: Whose
    groups: Mapping[str, Sequence[str]]
    settings: Settings
    is_erasing: bool = False

    @cached_property
    def subscriptions(self) -> list[str]:
        """The names of the subscriptions."""
        return sorted({name for names in self.groups.values() for name in names})

    @cached_property
    def streams(self) -> list[str]:
        """The streams that may have something."""
        return [stream for stream in self.groups if self.whose.wants_publisher(stream.partition("/")[0])]

    @cached_property
    def publishers(self) -> list[str]:
        """The publishers that may have something quarantined."""
        known = [*self.catalogue.publishers, *(stream.partition("/")[0] for stream in self.groups)]
        return [slug for slug in dict.fromkeys(known) if self.whose.wants_publisher(slug)]

    def publisher(self, slug: str) -> Publisher | None:
        """Return a publisher of the catalogue; None for a former one."""
        return self.catalogue.publishers.get(slug)

    def tenant_of(self, slug: str) -> str:
        """Return the one tenant that the settings name for the ERP of a publisher; empty where they name none."""
        return self.settings.erp_for(slug).tenant_id

    def pairs(self, stream: str, fields: Fields) -> list[Pair]:
        """Return whose an entry is: by its event, or where it has none that can be read by all that it names."""
        if (pair := event_pair(fields.get(EVENT, b""), text_of(fields, ID), stream)) is not None:
            return [pair]
        try:
            event = read_event(self.catalogue, stream, fields)
        except (UnreadableEvent, ValueError, OverflowError, RecursionError):
            publisher = self.publisher(stream.partition("/")[0])
            return [pair for name in (RAW, EVENT) for pair in named_in(publisher, fields.get(name, b""))]
        return [(event.tenant_id or "", event.company_id or "")]


class Place(ABC):
    """One place; `name` is what people call it. Every method raises StoreUnavailable."""

    name: str

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.store = ground.store

    @abstractmethod
    def found(self) -> AsyncIterator[Found]:
        """Yield what it has, in pages of bounded size."""

    @abstractmethod
    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Remove these for good; return how many were CHANGED, FAILED or are LEFT."""

    async def exchange(self, *fields: tuple[str, Field, Field, Field]) -> Counter[str]:
        """Give fields of hashes (key, field, what it was, new value) other values; what has changed since is LEFT."""
        replies = checked(await self.store.run([scripts.exchange(*each) for each in fields])) if fields else []
        return Counter({CHANGED: replies.count(1), LEFT: replies.count(-1)})

    async def commands(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run plain commands in one round trip, and return their replies."""
        return checked(await self.store.commands(commands)) if commands else []
