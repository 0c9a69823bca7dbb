"""The two errors of the store: it does not answer, or it answers that it refuses.

What redis-py raises becomes one of them in this package, and no other package knows redis-py. The error that it
was stays the cause, and its class the first word of the text.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from config.errors import RouterError, described
from router.telemetry import logs

_log = logs.get("store")

_OF_REDIS = (RedisError, RedisClusterException, OSError)


class StoreUnavailable(RouterError):
    """The store did not take or answer a command; whether the command was carried out may be unknown."""

    named = False


class StoreRefused(StoreUnavailable):
    """The store answered that it does not carry out a command: it is full, a right is missing, a group is gone."""


STORE_ERRORS = (StoreUnavailable, *_OF_REDIS)
"""What to expect where the store is used: its errors, and those of the network and of time (`TimeoutError`)."""

_SPOILT = "WRONGTYPE"
_NO_GROUP = ("NOGROUP", "UNBLOCKED", "no longer exists", "requires the key to exist", "No such key", "no such key")


def ours(error: BaseException) -> BaseException:
    """Return the error of ours that stands for one of redis-py or of the network; any other as it is."""
    if isinstance(error, StoreUnavailable) or not isinstance(error, _OF_REDIS):
        return error
    made = (StoreRefused if isinstance(error, ResponseError) else StoreUnavailable)(described(error))
    made.__cause__ = error
    return made


def is_refusal(error: object) -> bool:
    """Return whether a server that works has answered with an error."""
    return isinstance(error, StoreRefused | ResponseError)


def is_spoilt(error: object) -> bool:
    """Return whether an error says that its key holds something else than it should."""
    return is_refusal(error) and _SPOILT in str(error)


def forgiven(replies: Sequence[Any], keys: Sequence[str], nothing: Any) -> list[Any]:
    """Return the replies of a round trip, one for each key, with `nothing` in place of those of spoilt keys.

    A key that was edited manually must not hide all the others: to those who read, it holds nothing. The log names it,
    once.
    """
    for reply, key in zip(replies, keys, strict=True):
        if is_spoilt(reply):
            _say(key)
    return [nothing if is_spoilt(reply) else reply for reply in replies]


@lru_cache(maxsize=1000)
def _say(key: str) -> None:
    _log.warning("key_of_another_type", key=key, advice="rename or delete it; until then it counts as empty")


def is_no_group(error: object) -> bool:
    """Return whether an error says that the consumer group, or its stream, does not exist (any more)."""
    return is_refusal(error) and any(text in str(error) for text in (*_NO_GROUP, _SPOILT))
