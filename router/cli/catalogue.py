"""`catalogue`: which events there are."""

import sys
from collections.abc import Sequence

from config.publishers import EventType
from config.sources import load_settings
from router.cli.options.common import EventGlob
from router.cli.output.results import JsonFlag, print_json, print_line
from router.cli.output.table import print_table, rest
from router.events.catalogue import Catalogue
from router.events.globs import select


def catalogue(glob: EventGlob = "*", *, as_json: JsonFlag = False) -> None:
    """List the event types: what a worker can subscribe to."""
    known = Catalogue.for_settings(load_settings())
    pairs = (stream.split("/", 1) for stream in select(known, glob))
    rows = [(slug, event) for slug, type_ in pairs if (event := known.event_type(slug, type_))]
    if as_json:
        print_json([{"publisher": slug, **event.model_dump(mode="json", exclude={"shapes"})} for slug, event in rows])
    elif sys.stdout.isatty():
        _print_by_publisher(rows)
    else:
        lines = [(f"{slug}/{event.type}", event.description, _note(event)) for slug, event in rows]
        print_table(("EVENT", "DESCRIPTION", "NOTE"), lines)


def _print_by_publisher(rows: Sequence[tuple[str, EventType]]) -> None:
    for number, publisher in enumerate(dict.fromkeys(slug for slug, _ in rows)):
        print_line(("\n" if number else "") + f"{publisher}/\n")
        found = [(event, _note(event)) for slug, event in rows if slug == publisher]
        lines = [(event.type, f"{event.description}{f' ({note})' if note else ''}") for event, note in found]
        print_table(("EVENT", rest("DESCRIPTION", "wrap")), lines)


def _note(event: EventType) -> str:
    also = f"also {', '.join(event.aliases)}" if event.aliases else ""
    end = f"end of life: {event.end_of_life.rstrip('.')}" if event.end_of_life else ""
    use = f"use {', '.join(event.replaced_by)}" if event.replaced_by else ""
    return "; ".join(filter(None, (also, end, use)))
