"""Asking Sentinels for the master: in which order, and what is said when none knows."""

from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import ConnectionError as RedisConnectionError

from router.store.connections import Sentinels

UP = {"is_master": True, "is_sdown": False, "is_odown": False, "num-other-sentinels": 0, "ip": "h", "port": 1}


class Asked:
    """A Sentinel that answers with these masters, or with an error."""

    def __init__(self, port: int, answer: dict[str, Any] | Exception) -> None:
        self.connection_pool = SimpleNamespace(connection_kwargs={"host": "s", "port": port})
        self.times = 0
        self._answer = answer

    async def sentinel_masters(self) -> dict[str, Any]:
        """Answer."""
        self.times += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def sentinels(*asked: Asked) -> Sentinels:
    """Return what asks these."""
    found = Sentinels([])  # type: ignore[no-untyped-call]
    found.sentinels = list(asked)
    return found


async def test_the_first_that_knows_is_asked_first_the_next_time() -> None:
    """One after the other is asked; who is away or knows nothing costs time only once."""
    away, ignorant, knowing = Asked(1, RedisConnectionError("away")), Asked(2, {}), Asked(3, {"main": UP})
    manager = sentinels(away, ignorant, knowing)
    for _ in range(3):
        assert await manager.discover_master("main") == ("h", 1)
    assert (away.times, ignorant.times, knowing.times) == (1, 1, 3)
    assert set(manager.sentinels) == {away, ignorant, knowing}


async def test_every_sentinel_has_its_reason() -> None:
    """Where none names a master, the message says of each why, and nothing else."""
    manager = sentinels(
        Asked(1, RedisConnectionError("CERTIFICATE_VERIFY_FAILED")),
        Asked(2, {"other": UP}),
        Asked(3, {"main": {**UP, "is_odown": True}}),
    )
    with pytest.raises(MasterNotFoundError) as caught:
        await manager.discover_master("main")
    assert str(caught.value) == (
        "no Sentinel names a master of 'main': Sentinel s:1: CERTIFICATE_VERIFY_FAILED; "
        "Sentinel s:2 knows no such service; Sentinel s:3 takes it for down"
    )
