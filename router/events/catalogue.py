"""The events that are known: finds an event by its name on the wire, a stream by its name or a glob."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from config.errors import ConfigError, RouterError
from config.publisher_types import fold
from config.publishers import UNLISTED, Dialect, EventType, Paths, Publisher, load_publishers
from config.settings import Settings, fold_slug
from router.events.fields import Layout, Plan, UnreadableEvent, event_name

_folded = lru_cache(maxsize=4096)(fold)
_NONE: Mapping[str, EventType] = MappingProxyType({})
_DEFAULT_LAYOUT = Layout(Dialect(), Paths())


class UnknownStream(RouterError):
    """A stream or a glob over streams that the catalogue has nothing for; the message suggests similar names."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """An item that is an event: its members, how they are read, the event's name in it, and the event if listed."""

    layout: Layout
    members: dict[str, Any]
    plan: Plan
    name: str
    event: EventType | None


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """The publishers by slug, in a stable order, and what finds their events in no time."""

    publishers: Mapping[str, Publisher]
    _names: Mapping[str, Mapping[str, EventType]] = field(repr=False)
    _types: Mapping[str, EventType] = field(repr=False)
    _layouts: Mapping[str, Layout] = field(repr=False)
    _shapes: Mapping[str, tuple[tuple[frozenset[str], EventType], ...]] = field(repr=False)
    _off: tuple[str, ...] = field(repr=False)

    @classmethod
    def load(cls, *directories: Path, on_demand: bool = False) -> "Catalogue":
        """Read the packaged publishers and those of the directories; raises ConfigError for a file that is wrong.

        Those that are there only on demand are left out unless `on_demand` says otherwise.
        """
        return cls.of(load_publishers(*directories, on_demand=on_demand))

    @classmethod
    def for_settings(cls, settings: Settings) -> "Catalogue":
        """Read the packaged publishers and the operator's own.

        Raises ConfigError also for a setting that names a publisher which is not in the catalogue: with a typo
        there, a publisher would be without its secret and refuse everything.
        """
        known = load_publishers(*([settings.publishers_dir] if settings.publishers_dir else []), on_demand=True)
        slugs = {fold_slug(publisher.slug): publisher.slug for publisher in known}
        for setting in ("secrets", "publishers", "hints", "dedup_windows", "allow_unsigned"):
            for slug in getattr(settings, setting):
                if fold_slug(slug) not in slugs:
                    raise ConfigError(f"{setting}: {slug!r} is no publisher; known are {', '.join(slugs.values())}")
        wanted = [found for found in known if not found.only_on_demand or settings.wants(found.slug)]
        return cls.of(wanted, off=[found for found in known if found not in wanted])

    @classmethod
    def of(cls, publishers: Iterable[Publisher], off: Iterable[Publisher] = ()) -> "Catalogue":
        """Make a catalogue of these publishers; those that are `off` are only named where somebody asks for them."""
        by_slug = {publisher.slug: publisher for publisher in publishers}
        return cls(
            MappingProxyType(by_slug),
            {slug: _by_name(publisher) for slug, publisher in by_slug.items()},
            {f"{slug}/{event.type}": event for slug, publisher in by_slug.items() for event in publisher.events},
            {slug: Layout.of(publisher) for slug, publisher in by_slug.items()},
            {slug: tuple(_shapes(publisher)) for slug, publisher in by_slug.items()},
            tuple(publisher.slug for publisher in off),
        )

    def match(self, publisher: str, wire_name: str) -> EventType | None:
        """Find the event that a publisher calls so on the wire, case and separators aside; None if it lists none."""
        return self._names.get(publisher, _NONE).get(_folded(wire_name))

    def item(self, publisher: str, members: dict[str, Any], size: int) -> Item:
        """Return what the members of an item of `size` bytes are; raises UnreadableEvent where it is no event.

        Its event name is one that the publisher lists, if there is any. Without a name it may be an event by its shape.
        """
        layout = self._layouts.get(publisher, _DEFAULT_LAYOUT)  # for one that has left the catalogue
        plan = layout.plan(members, size)
        first, names = None, self._names.get(publisher, _NONE)
        for key in plan.event:
            if name := event_name(members[key]):
                if event := names.get(_folded(name)):
                    return Item(layout, members, plan, name, event)
                first = first or name
        if first is not None:
            return Item(layout, members, plan, first, None)
        event = self._by_shape(publisher, members)
        return Item(layout, members, plan, event.wire_name, event)

    def _by_shape(self, publisher: str, item: Mapping[str, Any]) -> EventType:
        if shapes := self._shapes.get(publisher):
            there = {_folded(key) for key, value in item.items() if value is not None}
            for shape, event in shapes:
                if shape <= there:
                    return event
        raise UnreadableEvent("no event name")

    def event_type(self, publisher: str, type: str) -> EventType | None:  # noqa: A002 -- the word of the model
        """Find an event by its type; None for `unlisted` and for what is not in the catalogue."""
        return self._types.get(f"{publisher}/{type}")

    def streams(self) -> tuple[str, ...]:
        """Return every stream, `publisher/type`: of each publisher its events in the file's order, then `unlisted`."""
        types = {slug: [event.type for event in found.events] for slug, found in self.publishers.items()}
        return tuple(f"{slug}/{name}" for slug, found in types.items() for name in (*found, UNLISTED))

    def select(self, *globs: str) -> tuple[str, ...]:
        """Return the streams that any of the globs matches, in the order of `streams`.

        `*` stands for any characters, the slash too. Raises UnknownStream for a glob that matches none.
        """
        streams = self.streams()
        for glob in globs:
            if not any(fnmatchcase(stream, glob) for stream in streams):
                raise UnknownStream(f"no stream matches {glob!r}{self._advice(glob) or _suggestion(glob, streams)}")
        return tuple(stream for stream in streams if any(fnmatchcase(stream, glob) for glob in globs))

    def no_publisher(self, name: str) -> str:
        """Say that there is no such publisher, and which there are; of one that is off, how to switch it on."""
        there_are = f"; there are {', '.join(self.publishers)}"
        return f"no publisher {name!r}{self._advice(name) or there_are}"

    def _advice(self, glob: str) -> str:
        """Say how to switch a publisher on that is off; nothing where the glob is not over one."""
        folded = fold_slug(glob.partition("/")[0])
        for slug in self._off:
            if fold_slug(slug) == folded:
                wish = f"set `publishers` to it, here ROUTER_PUBLISHERS={slug}, or give it a secret"
                return f"; publisher {slug} is off: {wish}"
        return ""


def _by_name(publisher: Publisher) -> Mapping[str, EventType]:
    return {fold(name): event for event in publisher.events for name in event.names}


def _shapes(publisher: Publisher) -> Iterator[tuple[frozenset[str], EventType]]:
    return ((frozenset(shape), event) for event in publisher.events for shape in event.shapes)


def _suggestion(glob: str, streams: tuple[str, ...]) -> str:
    wanted = glob.lower()
    if "/" in wanted:
        near = get_close_matches(wanted, streams)
    else:  # the publisher was left out: compare what was given with the type alone
        types = get_close_matches(wanted, {stream.partition("/")[2] for stream in streams})
        near = [stream for stream in streams if stream.partition("/")[2] in types]
    return f": did you mean {' or '.join(near[:3])}?" if near else "; `event-router catalogue` lists them"
