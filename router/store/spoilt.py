"""Keys that hold something else than they should, which only a hand can have put there.

What is wrong with one key must not hide all the others: to those who read, it holds nothing. The log names it, once.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from router.store.errors import is_spoilt
from router.telemetry import logs

_log = logs.get("store")


def forgiven(replies: Sequence[Any], keys: Sequence[str], nothing: Any) -> list[Any]:
    """Return the replies of a round trip, one for each key, with `nothing` in place of those of spoilt keys."""
    for reply, key in zip(replies, keys, strict=True):
        if is_spoilt(reply):
            _say(key)
    return [nothing if is_spoilt(reply) else reply for reply in replies]


@lru_cache(maxsize=1000)
def _say(key: str) -> None:
    _log.warning("key_of_another_type", key=key, advice="rename or delete it; until then it counts as empty")
