"""`quarantine list|show`: what was signed, but not understood; and the options that select of it."""

import re
from functools import partial
from typing import Annotated

import typer

from config.errors import ConfigError
from config.sources import load_settings
from router.cli.command.exits import NothingMatched
from router.cli.command.runtime import operate
from router.cli.options.common import Company, Since, Until, ids_among, taking
from router.cli.options.completing import publishers
from router.cli.output.listing import Listing, Reveal, print_list
from router.cli.output.results import JsonFlag, age, print_json, print_record, stamp
from router.cli.output.rows import is_masked, quarantined_json, say_masked, unsigned
from router.cli.output.table import Column, TwoForms, rest
from router.events.catalogue import Catalogue
from workers.operations.criteria import Ids
from workers.operations.operations import Operations
from workers.operations.quarantined import Quarantined, QuarantineSelector
from workers.operations.reveal import revealed
from workers.operations.shortened import SHORTENED

_ID = re.compile(rf"\d{{1,19}}-\d{{1,19}}|sha256:.*|.*({SHORTENED}|\.\.\.).*")

QUARANTINE_COLUMNS = (
    Column("TIME", drawn="AGE", right=True),
    Column("PUBLISHER", shrink=((2, 19),), cut="middle"),
    Column("BYTES", right=True),
    rest("REASON"),
    Column("ID"),
)


Publisher = Annotated[
    str | None, typer.Option("--publisher", metavar="NAME", help="Only of this publisher.", autocompletion=publishers)
]


def selected(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PUBLISHER|ID]...",
            help="Publishers; or ids of bodies or entries, - reads them on stdin.",
            autocompletion=publishers,
        ),
    ] = None,
    publisher: Publisher = None,
    text: Annotated[str | None, typer.Option("--text", metavar="TEXT", help="Part of the reason.")] = None,
    company: Company = None,
    since: Since = None,
    until: Until = None,
) -> QuarantineSelector:
    """Declare the options, and make of what is given the selector; raises ConfigError for an unknown publisher."""
    ids, slugs = ids_among(what or (), lambda argument: bool(_ID.fullmatch(argument)))
    slugs += [publisher] if publisher is not None else []
    catalogue = Catalogue.for_settings(load_settings())
    for slug in slugs:
        if slug not in catalogue.publishers:
            raise ConfigError(catalogue.no_publisher(slug))
    return QuarantineSelector(frozenset(slugs), text, Ids.of(ids), since, until, company)


@taking(selector=selected, listing=Listing)
def list_(*, selector: QuarantineSelector, reveal: Reveal = False, listing: Listing) -> None:
    """List what was quarantined, newest first. In JSON the values of bodies are masked without --reveal."""
    print_list(
        lambda operations: operations.quarantined(selector),
        QUARANTINE_COLUMNS,
        quarantine_row,
        partial(quarantined_json, reveal=reveal),
        listing,
        revealed=("quarantine list", selector.describe()) if reveal else None,
    )


def quarantine_row(_catalogue: Catalogue, found: Quarantined) -> tuple[object, ...]:
    """Return the cells of QUARANTINE_COLUMNS."""
    time = TwoForms(stamp(found.received_at), age(found.received_at))
    return (time, found.publisher, len(found.raw), found.reason, found.entry_id)


def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the entry, or of the body.")],
    *,
    publisher: Publisher = None,
    reveal: Reveal = False,
    as_json: JsonFlag = False,
) -> None:
    """Show one body that was quarantined; its values are masked without --reveal."""

    async def find(operations: Operations) -> Quarantined:
        found = await found_by(operations, id_, publisher)
        if reveal:
            await revealed(operations.store, found.raw, subject=f"quarantined {found.entry_id} of {found.publisher}")
        return found

    shown = quarantined_json(operate(find), reveal=reveal)
    if as_json:
        print_json(shown)
        return
    print_record(unsigned(shown))
    if is_masked(shown, reveal=reveal):
        say_masked()


async def found_by(operations: Operations, id_: str, publisher: str | None) -> Quarantined:
    """Return the newest body of an id; raises NothingMatched."""
    found = await operations.quarantined_body(id_.strip(), *selected(publisher=publisher).publishers)
    if found is None:
        raise NothingMatched(f"nothing is quarantined as {id_!r}; `event-router quarantine list` shows what is")
    return found
