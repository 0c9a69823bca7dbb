"""What the commands have in common that work with a store: logging and the store itself."""

import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from config.errors import ConfigError, RouterError, described
from config.settings import Settings
from config.sources import load_settings
from config.urls import redact_url
from router.cli.command.advice import advice_on
from router.cli.command.exits import complain
from router.cli.command.loop import run
from router.cli.command.stdio import discard_if_closed
from router.process.signals import expect_reload
from router.store.errors import STORE_ERRORS, StoreUnavailable
from router.store.health.deployment import fault_of
from router.telemetry import logs
from workers.operations.operations import Operations

T = TypeVar("T")


def for_service() -> Settings:
    """Return the settings for a process that stays, and log as they say."""
    expect_reload()
    discard_if_closed()
    settings = load_settings()
    logs.configure(settings.log.level, settings.log.format)
    return settings


def say_away(error: BaseException | None) -> None:
    """Say to the reader of what is followed that the store is waited for, because of an error, or answers again."""
    text = "answers again" if error is None else f"does not answer, waiting for it: {described(error)}"
    complain(f"the store {text}")


@asynccontextmanager
async def opened(settings: Settings | None = None) -> AsyncIterator[Operations]:
    """Open the store to look into it, and log nothing but what is wrong.

    Whatever is wrong with the store, then or later, becomes a StoreUnavailable that says what to do. An embedded one
    without data is left alone: there is nothing to see, and the wrong folder is no place to make one.
    """
    settings = settings or load_settings()
    quiet = settings.log.level in ("debug", "info", "warning")
    form = "console" if sys.stderr.isatty() else settings.log.format  # the setting is for processes that stay
    logs.configure("warning" if quiet else settings.log.level, form)
    async with AsyncExitStack() as stack:
        try:
            operations = await stack.enter_async_context(Operations.open(settings))
        except (ConfigError, StoreUnavailable):
            raise
        except (RouterError, OSError) as error:
            raise StoreUnavailable(f"the embedded server in {settings.data_dir} cannot be used: {error}") from error
        try:
            yield operations
        except STORE_ERRORS as error:
            text = described(error)
            fault = fault_of(error, settings.redis.url) or (text.rstrip("."), advice_on(text))
            where = redact_url(settings.redis.url)
            raise StoreUnavailable(f"the store ({where}) cannot be used: {'; '.join(fault)}") from error


def operate(work: Callable[[Operations], Coroutine[Any, Any, T]]) -> T:
    """Run to its end what a command does with the store, which is `opened` for it."""

    async def opened_work() -> T:
        async with opened() as operations:
            return await work(operations)

    return run(opened_work())


async def none_named(operations: Operations, name: str | None) -> str | None:
    """Return, where no subscription has this name, what to say of it; None where one has, or none was named."""
    if name is None:
        return None
    names = await operations.subscriptions()
    if name in names:
        return None
    if not names:
        return f"no subscription {name!r} exists, and no other: no worker has run yet"
    return f"no subscription {name!r} exists; there {'are' if len(names) > 1 else 'is'} {', '.join(names)}"
