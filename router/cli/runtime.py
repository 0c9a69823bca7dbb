"""What the commands have in common: settings, logging, event loop and store."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import uvloop

from config.errors import ConfigError, RouterError
from config.settings import Settings
from config.sources import load_settings
from config.urls import redact_url
from router import logs
from router.access import open_store
from router.catalogue import Catalogue
from router.service import load_catalogue
from router.store import STORE_ERRORS, Store, StoreUnavailable

__all__ = ["Session", "for_reading", "for_service", "opened", "run"]

T = TypeVar("T")


class Session(NamedTuple):
    """What a command that looks into the store works with."""

    store: Store
    catalogue: Catalogue


def for_service() -> Settings:
    """Return the settings for a process that stays, and log as they say."""
    settings = load_settings()
    logs.configure(settings.log.level, settings.log.format)
    return settings


def for_reading() -> Settings:
    """Return the settings for a command that ends by itself, and log nothing but what is wrong."""
    settings = load_settings()
    quiet = settings.log.level in ("debug", "info", "warning")
    logs.configure("warning" if quiet else settings.log.level, settings.log.format)
    return settings


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Session]:
    """Open the store; whatever is wrong with it, then or later, becomes a StoreUnavailable that says what to do."""
    catalogue = load_catalogue(settings)
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(settings))
        except ConfigError:
            raise
        except (RouterError, OSError) as error:
            raise StoreUnavailable(f"the embedded server in {settings.data_dir} cannot be used: {error}") from error
        try:
            yield Session(store, catalogue)
        except BrokenPipeError:  # of stdout: it is an OSError, but none of the store
            raise
        except (StoreUnavailable, *STORE_ERRORS) as error:
            text = str(error) if isinstance(error, StoreUnavailable) else f"{type(error).__name__}: {error}"
            where = redact_url(settings.redis.url)
            raise StoreUnavailable(f"the store ({where}) cannot be used: {text}; check redis.url") from error
