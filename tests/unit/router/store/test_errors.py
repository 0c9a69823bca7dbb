"""The two errors that stand for whatever redis-py raises."""

import asyncio

import pytest
from redis.exceptions import BusyLoadingError, NoPermissionError, OutOfMemoryError, RedisClusterException, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.errors import described
from router.store import scripts
from router.store.client import Store
from router.store.errors import STORE_ERRORS, StoreRefused, StoreUnavailable, is_no_group, is_refusal, is_spoilt, ours


@pytest.mark.parametrize("error", [ResponseError("x"), OutOfMemoryError("x"), NoPermissionError("NOPERM")])
def test_an_answer_that_says_no_is_a_refusal(error: Exception) -> None:
    """A server that answers with an error refuses; the error that it was is the cause, and named in the text."""
    found = ours(error)
    assert type(found) is StoreRefused
    assert found.__cause__ is error
    assert described(found) == str(found) == described(error)
    assert is_refusal(found)
    assert is_refusal(error)


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("cut"),
        RedisTimeoutError("late"),
        BusyLoadingError("loading"),
        RedisClusterException("no node"),
        OSError("net"),
        TimeoutError(),
    ],
)
def test_what_keeps_an_answer_from_us_is_unavailable(error: Exception) -> None:
    """A server that is gone, late or busy is unavailable, and no refusal."""
    found = ours(error)
    assert type(found) is StoreUnavailable
    assert isinstance(found, STORE_ERRORS)
    assert described(found) == described(error)
    assert not is_refusal(found)


def test_other_errors_stay_what_they_are() -> None:
    """An error of ours stays itself, and so does one that has nothing to do with the store."""
    for error in (StoreRefused("no"), StoreUnavailable("away"), ValueError("x"), asyncio.CancelledError()):
        assert ours(error) is error


def test_only_a_refusal_says_what_is_wrong_with_a_key() -> None:
    """A group that is gone and a key of another type are known by the answer of a server, in either form."""
    for error in (ResponseError("NOGROUP No such key"), StoreRefused("ResponseError: NOGROUP No such key")):
        assert is_no_group(error)
    assert is_spoilt(ours(ResponseError("WRONGTYPE Operation against a key")))
    assert not is_no_group(ours(RedisConnectionError("NOGROUP")))
    assert not is_spoilt(StoreUnavailable("WRONGTYPE"))


async def test_the_store_raises_and_returns_its_own_errors(store: Store) -> None:
    """Single commands and scripts raise our errors, round trips return them, what redis-py had being the cause."""
    key = store.keys.events("p/t")
    await store.command("SET", key, "no stream")
    call = scripts.append(key, [store.keys.seen("p/t", "m")], ["id", "x"], 1000)
    with pytest.raises(StoreRefused, match="WRONGTYPE") as caught:
        await store.command("XLEN", key)
    assert isinstance(caught.value.__cause__, ResponseError)
    with pytest.raises(StoreRefused):
        await store.call(call)
    replies = [*await store.run([call]), *await store.run([call, call]), *await store.commands([("XLEN", key)])]
    assert [type(reply) for reply in replies] == [StoreRefused] * 4
