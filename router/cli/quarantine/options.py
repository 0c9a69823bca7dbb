"""The options that select quarantined bodies, the same for every command that works on them."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from config.errors import ConfigError
from config.sources import load_settings
from router.cli.options.common import STDIN, ids_on_stdin
from router.cli.options.completing import publishers
from router.events.catalogue import Catalogue
from workers.operations.criteria import Ids
from workers.operations.quarantined import QuarantineSelector
from workers.operations.shortened import SHORTENED

__all__ = ["Publisher", "Text", "What", "selector_of"]

_ID = re.compile(rf"\d{{1,19}}-\d{{1,19}}|sha256:.*|.*({SHORTENED}|\.\.\.).*")

What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PUBLISHER|ID]...",
        help="Publishers; or ids of bodies or entries, - reads them on stdin.",
        autocompletion=publishers,
    ),
]
Publisher = Annotated[
    str | None, typer.Option("--publisher", metavar="NAME", help="Only of this publisher.", autocompletion=publishers)
]
Text = Annotated[str | None, typer.Option("--text", metavar="TEXT", help="Part of the reason.")]


def selector_of(
    what: Sequence[str] | None,
    publisher: str | None = None,
    text: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    company: str | None = None,
) -> QuarantineSelector:
    """Return the selector that a command line means; raises ConfigError for an unknown publisher."""
    given = list(what or ())
    ids = [argument for argument in given if _ID.fullmatch(argument)]
    slugs = [argument for argument in given if argument != STDIN and argument not in ids]
    slugs += [publisher] if publisher is not None else []
    if STDIN in given:
        ids += ids_on_stdin()
    _check(slugs)
    return QuarantineSelector(frozenset(slugs), text, Ids.of(ids), since, until, company)


def _check(slugs: Sequence[str]) -> None:
    catalogue = Catalogue.for_settings(load_settings()) if slugs else None
    for slug in slugs:
        if catalogue is not None and slug not in catalogue.publishers:
            raise ConfigError(catalogue.no_publisher(slug))
