"""`doctor`: looks whether this installation can keep its promises, and says what to do where it can't."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import typer

from config.errors import ConfigError
from config.settings import Settings
from config.urls import redact_url
from router.access import EMBEDDED
from router.cli.checks import Check, judge_publishers, judge_server
from router.cli.exits import ExitCode, complain
from router.cli.output import JsonFlag, print_json, print_table
from router.cli.runtime import for_reading, opened, run
from router.pages import checked
from router.service import load_catalogue
from router.store import StoreUnavailable

__all__ = ["doctor"]


def doctor(*, as_json: JsonFlag = False) -> None:
    """Check settings, catalogue, secrets and server; exit with 1 where something is wrong."""
    checks = list(_examine())
    failed = [check for check in checks if check.state == "failed"]
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        rows = [(check.state.upper(), check.name, check.detail, check.advice) for check in checks]
        print_table(("STATE", "CHECK", "FOUND", "WHAT TO DO"), rows)
    if failed:
        complain(f"{len(failed)} of {len(checks)} checks failed")
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def _examine() -> Iterator[Check]:
    """Check one thing after the other, as far as what was found allows."""
    try:
        settings = for_reading()
    except ConfigError as error:
        yield Check("settings", "failed", str(error), "correct that setting")
        return
    yield Check("settings", "ok", f"store {redact_url(settings.redis.url)}, data in {settings.data_dir}")
    try:
        catalogue = load_catalogue(settings)
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
