"""The options that select dead letters, the same for every command that works on them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from config.publishers import UNLISTED
from config.sources import load_settings
from router.cli.options.common import Company, Resource, Since, Until, ids_among, taking
from router.cli.options.completing import event_types, fingerprints, subscriptions
from router.events.catalogue import Catalogue
from router.events.globs import is_glob, named, select
from workers.failure import FINGERPRINT
from workers.operations.dead_letters.selector import Selector

_FINGERPRINT = re.compile(rf"[0-9a-fA-F]{{{FINGERPRINT}}}")


def selecting(
    events: Annotated[
        str | None,
        typer.Option(
            "--event",
            "--events",
            metavar="GLOB",
            help="PUBLISHER/TYPE, or TYPE of any publisher.",
            autocompletion=event_types,
        ),
    ] = None,
    subscription: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The subscription that failed.", autocompletion=subscriptions),
    ] = None,
    error: Annotated[str | None, typer.Option(metavar="GLOB", help="Class of the last error.")] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Part of its message, or of the reason.")] = None,
    resource: Resource = None,
    company: Company = None,
    fingerprint: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="What went wrong, by its short name in dlq stats.", autocompletion=fingerprints
        ),
    ] = None,
    attempts: Annotated[int, typer.Option(min=0, help="Failed at least so often.")] = 0,
    since: Since = None,
    until: Until = None,
) -> Selector:
    """Declare the options, and make of what is given the selector; raises UnknownStream."""
    wanted = _events(Catalogue.for_settings(load_settings()), [events]) if events is not None else None
    if fingerprint is not None and not _FINGERPRINT.fullmatch(fingerprint):
        raise typer.BadParameter(f"{fingerprint!r} is no fingerprint, {FINGERPRINT} digits such as 0f3a91bc")
    return Selector(
        events=wanted,
        subscription=subscription,
        error=error,
        text=text,
        resource=resource,
        company=company,
        attempts=attempts,
        since=since,
        until=until,
        fingerprint=fingerprint,
    )


@taking(selector=selecting)
def selected(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID|EVENT|GLOB]...",
            help="Ids of events or entries, - reads them on stdin; or event types, by name or by a glob.",
            autocompletion=event_types,
        ),
    ] = None,
    *,
    selector: Selector,
) -> Selector:
    """Narrow a selector to what the command line names: ids, those on stdin for `-`, and event types.

    A name that the catalogue knows is that of an event, whatever its spelling; raises UnknownStream for a glob that
    fits no stream, which is a typo.
    """
    if not what:
        return selector
    catalogue = Catalogue.for_settings(load_settings())
    ids, events = ids_among(what, lambda argument: not _is_event(catalogue, argument))
    if events and selector.events is not None:
        raise typer.BadParameter("name events as arguments or with --event, not both")
    return replace(selector, events=_events(catalogue, events) if events else selector.events).narrowed(*ids)


def names_events(argument: str) -> bool:
    """Return whether an argument means events, and may stand for something else by mistake."""
    return is_glob(argument) or bool(named(Catalogue.for_settings(load_settings()), argument))


def _is_event(catalogue: Catalogue, argument: str) -> bool:
    return "/" in argument or is_glob(argument) or argument == UNLISTED or bool(named(catalogue, argument))


def _events(catalogue: Catalogue, texts: Sequence[str]) -> str:
    """Return the globs that select what these texts mean: they themselves, or the streams of the events they name."""
    globs = [part for text in texts for part in text.split(",")]
    for glob in globs:
        select(catalogue, glob)
    return ",".join(",".join(() if is_glob(glob) else named(catalogue, glob)) or glob for glob in globs)
