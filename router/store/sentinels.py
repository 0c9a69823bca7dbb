"""Asking Sentinels for the master, and saying why none of them named one."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis, Sentinel
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError


class Sentinels(Sentinel):
    """Asks one Sentinel after the other, the one that knew it last time first; `clients` are those of the Sentinels."""

    def __init__(self, clients: Sequence[Redis]) -> None:
        super().__init__([])  # type: ignore[no-untyped-call]
        self.sentinels = list(clients)

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the master; raises MasterNotFoundError with the reason of every Sentinel."""
        reasons = []
        for sentinel in tuple(self.sentinels):
            try:
                masters: Any = await sentinel.sentinel_masters()
            except (RedisConnectionError, RedisTimeoutError, ResponseError) as error:
                reasons.append(f"{_address(sentinel)}: {error}")
                continue
            state = masters.get(service_name)
            if state is not None and self.check_master_state(state, service_name):
                self.sentinels.remove(sentinel)
                self.sentinels.insert(0, sentinel)
                return state["ip"], state["port"]
            reasons.append(f"{_address(sentinel)} {'takes it for down' if state else 'knows no such service'}")
        raise MasterNotFoundError(f"no Sentinel names a master of {service_name!r}: {'; '.join(reasons)}")


def _address(sentinel: Redis) -> str:
    options = sentinel.connection_pool.connection_kwargs
    return f"Sentinel {options['host']}:{options['port']}"
