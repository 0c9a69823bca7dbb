"""`send`: realistic, signed webhooks of any event."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import repeat
from pathlib import Path
from random import Random
from typing import Annotated, NamedTuple

import typer

from config.errors import ConfigError
from config.publisher_types import fold
from config.publishers import UNLISTED
from config.settings import Settings
from config.sources import load_settings
from router.cli.command.exits import ExitCode, Unanswered, complain, usage
from router.cli.command.loop import run
from router.cli.options.common import taking
from router.cli.options.completing import event_types, publishers
from router.cli.output.results import JsonFlag, clean, print_json, print_record, progress
from router.cli.send.sending import Parcel, Signer, Summary, parcels, send_all
from router.events.catalogue import Catalogue, UnknownStream
from router.events.identify import Identified, identify
from router.events.samples import About, body, sample

_ALL = "all"
_STDIN = Path("-")


def _about(
    resource: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="The record that all are about: 55555, or customer/55555.")
    ] = None,
    company: Annotated[str | None, typer.Option(metavar="ID", help="The company that all are of.")] = None,
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="The tenant that all are of.")] = None,
) -> About:
    """Declare the options, and return what all samples are about."""
    return About(resource or None, company or None, tenant or None)


@taking(about=_about)
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
    about: About,
    as_json: JsonFlag = False,
) -> None:
    """Send signed samples of an event to an ingress, each about a record, a company and a tenant by chance.

    --resource, --company and --tenant fix those, and --resource one company and one tenant with it: what comes for one
    record is handled in order by a subscription with a key, and merged where it coalesces; what comes for one company
    waits for the turns of that.
    """
    settings = load_settings()
    catalogue = Catalogue.for_settings(settings)
    base = _base(url, settings)
    if file is not None:
        if about != About():
            usage("a FILE is sent as it is: --resource, --company and --tenant are for samples")
        load = _file(catalogue, publisher, file, count or 1)
    else:
        load = _samples(catalogue, find_streams(catalogue, publisher, event), count, batch, about)
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


def _samples(catalogue: Catalogue, streams: Sequence[str], count: int | None, batch: int, about: About) -> _Load:
    for stream in streams:
        _check_about(catalogue, stream, about)
    about = about.of_one(Random())  # noqa: S311 - samples are no secrets
    items = count or len(streams)
    publishers = list(dict.fromkeys(stream.partition("/")[0] for stream in streams))
    return _Load(publishers, items, parcels(catalogue, streams, items, batch, about))


def _check_about(catalogue: Catalogue, stream: str, about: About) -> None:
    """Raise ConfigError where events of a stream cannot be about that."""
    item = sample(catalogue, stream, Random(), datetime.now(UTC), about)  # noqa: S311 - samples are no secrets
    (found,) = identify(catalogue, stream.partition("/")[0], body([item]), None)
    said = found.normalised if isinstance(found, Identified) else None
    named = "resource" if about.resource and "/" in about.resource else "resource_id"
    names = (("company", about.company, "company_id"), ("tenant", about.tenant, "tenant_id"))
    for option, wanted, name in (("resource", about.resource, named), *names):
        if wanted is not None and (said or {}).get(name) != wanted:
            raise ConfigError(f"events of {stream} cannot have --{option} {clean(wanted)}; leave it out")


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
