"""`doctor`: looks whether this installation can keep its promises, and says what to do where it can't."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer

from config.errors import ConfigError
from config.settings import Settings
from config.sources import load_settings
from config.urls import redact_url
from router.access import EMBEDDED, NoData
from router.catalogue import Catalogue
from router.cli.checks import Check, judge_publishers, judge_server
from router.cli.exits import ExitCode, complain
from router.cli.loop import run
from router.cli.output import JsonFlag, print_json
from router.cli.runtime import opened
from router.cli.table import print_table, rest
from router.pages import checked
from router.store import StoreUnavailable

__all__ = ["doctor"]


def doctor(*, as_json: JsonFlag = False) -> None:
    """Check settings, catalogue, secrets and server; exit with 1 where something is wrong."""
    checks = list(_examine())
    failed = [check for check in checks if check.state == "failed"]
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        _print(checks)
    if failed:
        complain(f"{len(failed)} of {len(checks)} checks failed")
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def _print(checks: Sequence[Check]) -> None:
    if not sys.stdout.isatty():
        rows = [(check.state.upper(), check.name, check.detail, check.advice) for check in checks]
        print_table(("STATE", "CHECK", "FOUND", "WHAT TO DO"), rows)
        return
    found = [(check.state.upper(), f"{check.name}: {check.detail}{_arrow(check)}") for check in checks]
    print_table(("STATE", rest("FOUND", "wrap")), found)


def _arrow(check: Check) -> str:
    return f" → {check.advice}" if check.advice else ""


def _examine() -> Iterator[Check]:
    """Check one thing after the other, as far as what was found allows."""
    try:
        settings = load_settings()
    except ConfigError as error:
        yield Check("settings", "failed", str(error), "correct that setting")
        return
    yield Check("settings", "ok", f"store {redact_url(settings.redis.url)}, data in {settings.data_dir.absolute()}")
    try:
        catalogue = Catalogue.for_settings(settings)
    except ConfigError as error:
        yield Check("catalogue", "failed", str(error), "correct that file")
        return
    events = sum(len(publisher.events) for publisher in catalogue.publishers.values())
    yield Check("catalogue", "ok", f"{len(catalogue.publishers)} publishers, {events} events")
    yield from judge_publishers(settings, catalogue)
    yield from _judge_store(settings)


def _judge_store(settings: Settings) -> Iterator[Check]:
    try:
        servers = run(_ask(settings))
    except NoData as error:
        yield Check("store", "failed", error.what, error.advice)
        return
    except (StoreUnavailable, ConfigError) as error:
        yield Check("store", "failed", str(error), "start the server, or correct redis.url")
        return
    yield Check("store", "ok", "it answers")
    for info in servers:
        yield from judge_server(info, embedded=settings.redis.url == EMBEDDED)


async def _ask(settings: Settings) -> list[Mapping[str, Any]]:
    """Return what each server of the store says of itself: a Cluster has several."""
    async with opened(settings) as session:
        (reply,) = checked(await session.store.commands([("INFO",)]))
    return [reply] if "redis_version" in reply else list(reply.values())
