"""`send`: realistic, signed webhooks of any event."""

import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import repeat
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from config.errors import ConfigError
from config.publisher_types import fold
from config.publishers import UNLISTED
from config.settings import Settings
from config.sources import load_settings
from router.cli.command.exits import ExitCode, Unanswered, complain
from router.cli.command.loop import run
from router.cli.options.completing import event_types, publishers
from router.cli.output.results import JsonFlag, clean, print_json, print_record, progress
from router.cli.send.sending import Parcel, Signer, Summary, parcels, send_all
from router.events.catalogue import Catalogue, UnknownStream
from router.events.identify import identify

_ALL = "all"
_STDIN = Path("-")


def send(
    publisher: Annotated[
        str, typer.Argument(metavar="PUBLISHER", help="Its name, or `all`.", autocompletion=publishers)
    ],
    event: Annotated[
        str | None,
        typer.Argument(
            metavar="EVENT",
            help="In any spelling, `all`, a glob over types, or `unlisted`.",
            autocompletion=event_types,
        ),
    ] = None,
    *,
    count: Annotated[int | None, typer.Option(min=1, help="Items in all; one of each event by default.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Items in one request.")] = 1,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Items a second; as fast as it goes by default.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 8,
    url: Annotated[str | None, typer.Option(help="The ingress; that of the settings by default.")] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Send these bytes as they are, - for stdin, COUNT times.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send signed samples of an event to an ingress."""
    settings = load_settings()
    catalogue = Catalogue.for_settings(settings)
    base = _base(url, settings)
    if file is not None:
        load = _file(catalogue, publisher, file, count or 1)
    else:
        load = _samples(catalogue, find_streams(catalogue, publisher, event), count, batch)
    signer = Signer(settings, catalogue, load.publishers)
    with progress("send", load.items) as advance:
        work = send_all(load.requests, base, signer, rate=rate, concurrency=concurrency, advance=advance)
        summary = run(work)
    _finish(summary, base, as_json=as_json)


class _Load(NamedTuple):
    """All that is to be sent."""

    publishers: Sequence[str]
    items: int
    requests: Iterator[Parcel]


def _samples(catalogue: Catalogue, streams: Sequence[str], count: int | None, batch: int) -> _Load:
    items = count or len(streams)
    publishers = list(dict.fromkeys(stream.partition("/")[0] for stream in streams))
    return _Load(publishers, items, parcels(catalogue, streams, items, batch))


def _file(catalogue: Catalogue, publisher: str, file: Path, times: int) -> _Load:
    slug = find_publisher(catalogue, publisher)
    try:
        body = sys.stdin.buffer.read() if file == _STDIN else file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}); name a file, or - for stdin") from error
    items = len(identify(catalogue, slug, body, None))
    return _Load([slug], items * times, repeat(Parcel(slug, body, items), times))


def _finish(summary: Summary, url: str, *, as_json: bool) -> None:
    if as_json:
        print_json(summary.as_json())
    elif not summary.unanswered:
        print_record(summary.as_text())
    if summary.unanswered:
        raise Unanswered(f"nobody answered at {url}: start `event-router up`, or name an ingress with --url")
    if summary.refusal:
        complain(f"refused with {clean(summary.refusal)}")
    if summary.refused:
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def find_publisher(catalogue: Catalogue, name: str) -> str:
    """Return the slug of a publisher, whose slug or name may be spelt in any way; raises UnknownStream."""
    for slug, publisher in catalogue.publishers.items():
        if fold(name) in (fold(slug), fold(publisher.name)):
            return slug
    raise UnknownStream(catalogue.no_publisher(name))


def find_streams(catalogue: Catalogue, publisher: str, event: str | None) -> list[str]:
    """Return the streams that a publisher and an event name, each of which may be `all`; raises UnknownStream."""
    if event is None:
        raise ConfigError("name an EVENT, or `all`; `event-router catalogue` lists them")
    slugs = list(catalogue.publishers) if publisher == _ALL else [find_publisher(catalogue, publisher)]
    found = [f"{slug}/{type_}" for slug in slugs for type_ in _types(catalogue, slug, event)]
    if not found:
        catalogue.select(f"{slugs[0]}/{event}")  # raises, and suggests similar names
    return found


def _types(catalogue: Catalogue, slug: str, event: str) -> list[str]:
    if event == UNLISTED:
        return [UNLISTED]
    if event == _ALL or "*" in event:
        glob = "*" if event == _ALL else event.lower()
        return [listed.type for listed in catalogue.publishers[slug].events if fnmatchcase(listed.type, glob)]
    listed = catalogue.match(slug, event)
    return [listed.type] if listed else []


def _base(url: str | None, settings: Settings) -> str:
    base = (url or f"http://127.0.0.1:{settings.ingress.port}").rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise ConfigError(f"--url {url} is no URL of an ingress; write http://HOST:PORT")
    return base
