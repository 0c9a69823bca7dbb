"""The sample that is sent to try a forward: of a well-known event where there is one, one that its filter passes."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from config.errors import ConfigError
from config.forward import ForwardSettings
from config.publisher_types import fold
from config.publishers import UNLISTED, Dialect
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.globs import is_glob, select
from router.events.identify import Identified, identify
from router.events.normalise import normalise
from router.events.samples import About, body, sample
from workers.where import Where

__all__ = ["sample_for"]

_WELL_KNOWN: Final = ("customer_changed", "supplier_changed", "inventory_item_changed", "ar_invoice_changed")
_TRIES: Final = 20
"""Samples of one stream that are made until one passes the filter: some of their fields are left to chance."""


def sample_for(forward: ForwardSettings, catalogue: Catalogue, wanted: str | None) -> tuple[Event, bool] | None:
    """Return a sample of the forward's events, or of those that a glob means too, and whether its filter passes it.

    None where the glob means none of its events. Raises UnknownStream for a forward, or a glob, that means none at all,
    ConfigError for a filter that is none.
    """
    streams = catalogue.select(*forward.events)
    if wanted is not None:
        chosen = {*select(catalogue, wanted)}
        streams = tuple(stream for stream in streams if stream in chosen)
    if not streams:
        return None
    where = Where(forward.where)
    ordered = sorted(streams, key=_rank)
    for stream in ordered:
        for event in _made(catalogue, stream, where.conditions):
            if where.passes(event):
                return event, True
    return next(_made(catalogue, ordered[0], {})), False


def _rank(stream: str) -> tuple[bool, int, int, str]:
    """Return what orders streams by how well known they are."""
    type_ = stream.partition("/")[2]
    known = _WELL_KNOWN.index(type_) if type_ in _WELL_KNOWN else len(_WELL_KNOWN)
    return type_ == UNLISTED, known, len(stream), stream


def _made(catalogue: Catalogue, stream: str, conditions: Mapping[str, Any]) -> Iterator[Event]:
    """Yield samples of a stream: as they are, and with what the conditions ask for."""
    slug, random, now = stream.partition("/")[0], Random(), datetime.now(UTC)  # noqa: S311 - samples are no secrets
    asked = {name: value for name, wanted in conditions.items() if (value := _plain(wanted)) is not None}
    texts = {name: str(value) for name, value in asked.items()}
    resource = texts.get("resource", texts.get("resource_id"))
    try:
        about = About(resource, texts.get("company_id"), texts.get("tenant_id"))
        for _ in range(_TRIES):
            item = sample(catalogue, stream, random, now, about)
            yield from _read(catalogue, slug, item, now)
            yield from _read(catalogue, slug, _with(item, catalogue.publishers[slug].dialect, asked), now)
    except (ValueError, ConfigError):  # a number that no record of this publisher could have
        return


def _read(catalogue: Catalogue, slug: str, item: dict[str, Any], now: datetime) -> Iterator[Event]:
    """Yield the event that an item is; nothing where it has become none."""
    found = identify(catalogue, slug, body([item]), None)
    yield from (normalise(catalogue, one.stream, one.id, one.raw, now) for one in found if isinstance(one, Identified))


def _with(item: dict[str, Any], dialect: Dialect, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item with values in its fields, by the names that its publisher gives them."""
    made = {**item}
    for name, value in asked.items():
        spellings = getattr(dialect, name, ())
        if name.startswith("extra."):
            _put(made, name.removeprefix("extra.").split("."), value)
        elif spellings:
            made[next((key for key in made if fold(key) in spellings), spellings[0])] = value
    return made


def _put(item: dict[str, Any], path: list[str], value: object) -> None:
    *outer, last = path
    for name in outer:
        inner = item.get(name)
        item[name] = {**inner} if isinstance(inner, dict) else {}
        item = item[name]
    item[last] = value


def _plain(wanted: object) -> str | int | float | bool | None:
    """Return a value that a condition accepts as it is written; None where it names none."""
    if isinstance(wanted, list | tuple):
        return next((value for each in wanted if (value := _plain(each)) is not None), None)
    if isinstance(wanted, str):
        return wanted.replace("*", "1").replace("?", "1") if is_glob(wanted) else wanted
    return wanted if isinstance(wanted, bool | int | float) else None
