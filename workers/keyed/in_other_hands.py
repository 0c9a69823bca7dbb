"""Entries of an inbox that an unkeyed worker has in hand, since before the subscription had a key."""

from collections.abc import Sequence
from typing import Any

from router.store import scripts
from router.store.errors import is_no_group
from workers.consuming.context import Context
from workers.keyed.leadership import NoLongerLeader

_PAGE = 200


async def in_other_hands(context: Context, inbox: str, ids: Sequence[bytes]) -> set[bytes]:
    """Return which of these entries, in order, a worker has in hand; after this none takes one of the others.

    Such a worker settles what it has, or gives it back or dies, and then that comes into the inbox once more. Raises
    NoLongerLeader where the group is gone, StoreUnavailable and StoreRefused.
    """
    (moved,) = await context.store.run([scripts.advance(inbox, context.group, ids[-1], 0)])
    if is_no_group(moved):
        raise NoLongerLeader
    if isinstance(moved, BaseException):
        raise moved
    held: set[bytes] = set()
    start = ids[0].decode()
    while True:
        rows: list[Any] = await context.store.command(
            *("XPENDING", inbox, context.group, start, ids[-1], _PAGE), parse_detail=True
        )
        held |= {row["message_id"] for row in rows}
        if len(rows) < _PAGE:
            return held.intersection(ids)
        start = f"({rows[-1]['message_id'].decode()}"
