"""Opening the store that the settings name, the embedded server included."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from config.settings import Settings
from router.embedded import embedded
from router.keys import Keys
from router.store import Store, connect

__all__ = ["EMBEDDED", "open_store"]

EMBEDDED = "embedded"


@asynccontextmanager
async def open_store(settings: Settings, *, timeout: float | None = None) -> AsyncIterator[Store]:  # noqa: ASYNC109
    """Yield the store, and close it; `timeout` bounds each command (seconds) in place of `redis.command_timeout`.

    A store that is away is no error here, since it may come back; an embedded server that cannot be started is.
    """
    redis = settings.redis
    async with AsyncExitStack() as stack:
        url = redis.url
        if url == EMBEDDED:
            url = await stack.enter_async_context(embedded(settings.data_dir / "redis"))
        store = connect(
            url,
            Keys(redis.prefix),
            connect_timeout=redis.connect_timeout,
            timeout=timeout or redis.command_timeout,
        )
        stack.push_async_callback(store.aclose)
        yield store
