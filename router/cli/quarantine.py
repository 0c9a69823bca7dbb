"""`quarantine list|show`: what was signed, but not understood."""

from typing import Annotated

import typer

from config.errors import ConfigError
from router.browse import Browser, Quarantined
from router.catalogue import Catalogue
from router.cli.exits import NothingMatched
from router.cli.listing import Limit, print_list
from router.cli.loop import run
from router.cli.output import JsonFlag, age, print_json, print_record, stamp
from router.cli.rows import quarantined_json
from router.cli.runtime import opened
from router.cli.selecting import Since
from router.cli.table import Column, Told, rest

__all__ = ["app"]

_COLUMNS = (
    Column("TIME", drawn="AGE", right=True),
    Column("PUBLISHER", shrink=((2, 19),), cut="middle"),
    Column("BYTES", right=True),
    rest("REASON"),
    Column("ID"),
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The quarantine: signed bodies that could not be read."
)


@app.command("list")
def list_(
    publisher: Annotated[str | None, typer.Argument(help="Only of this publisher.")] = None,
    *,
    since: Since = None,
    limit: Limit = None,
    as_json: JsonFlag = False,
) -> None:
    """List what was quarantined, newest first."""

    async def work() -> None:
        async with opened() as session:
            found = Browser(session.store, session.catalogue).quarantined(_of(session.catalogue, publisher), since)
            await print_list(found, _COLUMNS, _row, quarantined_json, limit=limit, as_json=as_json)

    run(work())


def _of(catalogue: Catalogue, publisher: str | None) -> list[str]:
    if publisher is not None and publisher not in catalogue.publishers:
        raise ConfigError(f"no publisher {publisher!r}; there are {', '.join(catalogue.publishers)}")
    return [publisher] if publisher else list(catalogue.publishers)


def _row(found: Quarantined) -> tuple[object, ...]:
    time = Told(stamp(found.received_at), age(found.received_at))
    return (time, found.publisher, len(found.raw), found.reason, found.entry_id)


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the entry, or of the body.")],
    *,
    publisher: Annotated[str | None, typer.Option(help="Where two publishers have an entry of one id.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show one body that was quarantined, its bytes as they came."""
    found = run(_find(id_, publisher))
    if as_json:
        print_json(quarantined_json(found))
    else:
        print_record(quarantined_json(found))


async def _find(id_: str, publisher: str | None) -> Quarantined:
    async with opened() as session:
        browser = Browser(session.store, session.catalogue)
        found = await browser.find_quarantined(id_, _of(session.catalogue, publisher))
    if found is None:
        raise NothingMatched(f"nothing is quarantined as {id_!r}; `event-router quarantine list` shows what is")
    return found
