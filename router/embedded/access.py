"""Opening the store that the settings name, the embedded server included."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from config.settings import Settings
from router.embedded.server import EmbeddedServer
from router.store.client import Store, connect
from router.store.errors import StoreUnavailable
from router.store.keys import Keys

EMBEDDED = "embedded"

_DATA = ("appendonlydir", "appendonly.aof", "dump.rdb")


class NoData(StoreUnavailable):
    """The embedded server has nothing in its folder, which most often is the wrong folder."""

    advice = (
        "start `event-router up` here, go to the folder where it runs, or name that folder's data in ROUTER_DATA_DIR "
        "(data_dir) or a server in ROUTER_REDIS__URL (redis.url)"
    )

    def __init__(self, directory: Path) -> None:
        self.what = f"no data in {directory.resolve()}"
        super().__init__(f"{self.what}: {self.advice}")


@asynccontextmanager
async def open_store(
    settings: Settings,
    *,
    timeout: float | None = None,  # noqa: ASYNC109
    create: bool = True,
) -> AsyncIterator[Store]:
    """Yield the store, and close it; `timeout` bounds each command (seconds) in place of `redis.command_timeout`.

    A store that is away is no error here, since it may come back; an embedded server that cannot be started is.
    Without `create` an embedded server that never held anything is not started: raises NoData.
    """
    redis = settings.redis
    async with AsyncExitStack() as stack:
        url = redis.url
        if url == EMBEDDED:
            directory = settings.data_dir / "redis"
            if not create and not any((directory / name).exists() for name in _DATA):
                raise NoData(settings.data_dir)
            # Waiting for the next second of a server that flushes each would make every request as slow.
            fsync = "always" if settings.ingress.durability.level == "fsynced" else "everysec"
            server = EmbeddedServer(directory, fsync=fsync)
            url = await server.start()
            stack.push_async_callback(server.stop)
        store = connect(
            url,
            Keys(redis.prefix),
            connect_timeout=redis.connect_timeout,
            timeout=timeout or redis.command_timeout,
        )
        stack.push_async_callback(store.aclose)
        yield store
