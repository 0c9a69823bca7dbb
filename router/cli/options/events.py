"""The options that select events, the same for every command that works on them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from config.sources import load_settings
from router.cli.options.completing import event_types
from router.events.catalogue import Catalogue
from router.events.globs import select

__all__ = ["Company", "EventGlob", "Resource", "wanted_streams"]

EventGlob = Annotated[
    str,
    typer.Argument(metavar="[GLOB]", help="PUBLISHER/TYPE, or TYPE of any publisher.", autocompletion=event_types),
]
Resource = Annotated[str | None, typer.Option(metavar="GLOB", help="Such as customer/*.")]
Company = Annotated[str | None, typer.Option(metavar="ID", help="The company in the ERP.")]


def wanted_streams(glob: str) -> Sequence[str]:
    """Return the streams of the catalogue that a glob means; raises UnknownStream."""
    return select(Catalogue.for_settings(load_settings()), glob)
