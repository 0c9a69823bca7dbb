"""`doctor`: looks whether this installation can keep its promises, and says what to do where it can't."""

import asyncio
import sys
from collections.abc import Iterator, Sequence

import typer

from config.errors import ConfigError, described
from config.settings import Settings
from config.sources import load_settings, secret_files, settings_file, unread_file
from config.urls import redact_url
from router.cli.command.exits import ExitCode, complain
from router.cli.command.loop import run
from router.cli.command.runtime import opened
from router.cli.doctor.archive_checks import judge_archive
from router.cli.doctor.checks import (
    judge_breaker,
    judge_publishers,
    judge_spool,
    judge_spooling,
)
from router.cli.doctor.erp_checks import judge_erps, try_erps
from router.cli.doctor.forward_checks import judge_forward, judge_forwards
from router.cli.doctor.notify_checks import judge_notified, judge_notifiers, judge_silence
from router.cli.doctor.probe import ask_ingresses, ask_workers, look_at_spool, talk_to
from router.cli.doctor.reconcile_checks import judge_reconciliations
from router.cli.doctor.security_checks import (
    judge_knowing,
    judge_ops,
    judge_secret_files,
    judge_secrets,
)
from router.cli.doctor.trial import try_out
from router.cli.output.results import JsonFlag, fields_of, print_json
from router.cli.output.table import print_table, rest
from router.embedded.access import NoData
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import STORE_ERRORS, StoreUnavailable
from router.store.health.deployment import fault_of
from router.store.health.judgement import Check, judge_server
from router.store.health.survey import Ask, ask_server, is_denied, masters
from workers.operations.operations import Operations


def doctor(*, as_json: JsonFlag = False) -> None:
    """Check settings, catalogue, secrets and server; exit with 1 where something is wrong."""
    checks = list(_examine())
    failed = [check for check in checks if check.state == "failed"]
    if as_json:
        print_json(
            {"ok": not failed, "checks": [fields_of(check, "name", "state", "detail", "advice") for check in checks]}
        )
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
    said = (f"{check.name}: {check.detail}{f' → {check.advice}' if check.advice else ''}" for check in checks)
    found = [(check.state.upper(), line) for check, line in zip(checks, said, strict=True)]
    print_table(("STATE", rest("FOUND", "wrap")), found)


def _read_from(settings: Settings) -> Check:
    """Say which file was read, and which of the same name was not."""
    said = (
        f"read from {settings_file()}, store {redact_url(settings.redis.url)}, data in {settings.data_dir.absolute()}"
    )
    if (unread := unread_file()) is None:
        return Check("settings", "ok", said)
    advice = f"nothing in {unread} counts: keep one of the two, or name one by ROUTER_CONFIG"
    return Check("settings", "warning", f"{said}; {unread} is there, too, and is not read", advice)


def _examine() -> Iterator[Check]:
    """Check one thing after the other, as far as what was found allows."""
    try:
        settings = load_settings()
    except ConfigError as error:
        yield Check("settings", "failed", str(error), "correct that setting")
        return
    yield _read_from(settings)
    try:
        catalogue = Catalogue.for_settings(settings)
    except ConfigError as error:
        yield Check("catalogue", "failed", str(error), "correct that file")
        return
    events = sum(len(publisher.events) for publisher in catalogue.publishers.values())
    yield Check("catalogue", "ok", f"{len(catalogue.publishers)} publishers, {events} events")
    yield from judge_publishers(settings, catalogue)
    yield from judge_erps(settings, catalogue)
    yield from judge_reconciliations(settings, catalogue)
    yield from judge_forwards(settings, catalogue)
    yield from run(judge_archive(settings))
    yield from judge_silence(settings.silence, catalogue)
    yield from judge_notifiers(settings.notify)
    yield from run(_asked_of_erps(settings))
    ingresses = run(ask_ingresses(settings))
    yield from judge_ops(settings.ops, ingresses)
    yield from judge_secrets(settings, catalogue)
    yield from judge_secret_files(files := secret_files())
    publishers = settings.publishers_dir.glob("*.toml") if settings.publishers_dir else ()
    yield from judge_knowing(settings, catalogue, ingresses, [*files, *publishers])
    spool = look_at_spool(settings.data_dir / "spool")
    yield from judge_spool(spool, settings.ingress.spool_max_bytes)
    yield from judge_spooling(spool.held, ingresses)
    yield from run(ask_workers(settings))
    yield from _examine_store(settings)


async def _asked_of_erps(settings: Settings) -> list[Check]:
    return [check async for check in try_erps(settings)]


def _examine_store(settings: Settings) -> Iterator[Check]:
    try:
        found = run(_ask(settings))
    except NoData as error:
        yield Check("store", "failed", error.what, error.advice)
        return
    except (StoreUnavailable, ConfigError) as error:
        advice = "start the server if it does not run; docs/redis.md has the forms of redis.url"
        yield Check("store", "failed", str(error), advice)
        return
    yield Check("store", "ok", "it answers")
    yield from found


async def _ask(settings: Settings) -> list[Check]:
    """Ask each server of the store: a Cluster has several, and those that answer are judged without the others."""
    async with opened(settings) as operations:
        try:
            asked = await masters(operations.store)
            parts = await asyncio.gather(*(_judge(name, ask, settings) for name, ask in asked.items()))
            checks = [check for part in parts for check in part]
            if not any(check.name.startswith("deployment") for check in checks):
                checks += await _try_out(operations.store, settings.redis.url)
                checks += [*await _breakers(operations), *await _forwards(operations)]
                checks += await _notifiers(operations)
        except STORE_ERRORS as error:
            if (fault := fault_of(error, settings.redis.url)) is None:
                raise
            return [Check("deployment", "failed", *fault)]
    return checks


async def _try_out(store: Store, url: str) -> list[Check]:
    try:
        return await try_out(store, url)
    except STORE_ERRORS as error:
        if not store.cluster:
            raise
        advice = "start the server that has its slot, or wait until the Cluster has replaced it"
        return [Check("script", "failed", described(error), advice)]


async def _breakers(operations: Operations) -> list[Check]:
    """Say which targets of handlers are down; nothing to a user that may not look, such as that of ingress."""
    try:
        return [judge_breaker(breaker) for breaker in await operations.breakers()]
    except STORE_ERRORS as error:
        advice = "see what the store refuses; workers then judge by themselves what is down"
        return [] if is_denied(error) else [Check("breakers", "warning", described(error), advice)]


async def _forwards(operations: Operations) -> list[Check]:
    """Say which forwards do not forward; nothing to a user that may not look."""
    try:
        return [check for forward in await operations.forwards() if (check := judge_forward(forward))]
    except STORE_ERRORS as error:
        return (
            [] if is_denied(error) else [Check("forwards", "warning", described(error), "see what the store refuses")]
        )


async def _notifiers(operations: Operations) -> list[Check]:
    """Say which notifiers are not heard; nothing to a user that may not look."""
    try:
        return list(judge_notified(await operations.notifiers() if operations.settings.notify else ()))
    except STORE_ERRORS as error:
        return (
            [] if is_denied(error) else [Check("notifiers", "warning", described(error), "see what the store refuses")]
        )


async def _judge(name: str, ask: Ask, settings: Settings) -> list[Check]:
    try:
        server = await ask_server(name, ask, fsync=settings.ingress.durability.level == "fsynced")
        conversation = await talk_to(name, ask)
    except STORE_ERRORS as error:
        if not name:
            raise
        detail = described(error)
        return [Check(f"server {name}", "failed", detail, "start it, or wait until the Cluster has replaced it")]
    return [*judge_server(server, settings), *conversation]
