"""Entries of an inbox that an unkeyed worker has in hand, since before the subscription had a key."""

from collections.abc import Sequence
from typing import Any

from router.store.errors import StoreRefused, is_no_group
from workers.consuming.context import Context
from workers.keyed.leadership import NoLongerLeader

_PAGE = 200


async def in_other_hands(context: Context, inbox: str, ids: Sequence[bytes]) -> set[bytes]:
    """Return which of these entries, in order, a worker has in hand.

    Such a worker settles what it has, or gives it back or dies, and then that comes into the inbox once more. Raises
    NoLongerLeader where the group is gone, StoreUnavailable and StoreRefused.
    """
    held: set[bytes] = set()
    start = ids[0].decode()
    while True:
        command = ("XPENDING", inbox, context.group, start, ids[-1], _PAGE)
        try:
            rows: list[Any] = await context.store.command(*command, parse_detail=True)
        except StoreRefused as error:
            if is_no_group(error):
                raise NoLongerLeader from error
            raise
        held |= {row["message_id"] for row in rows}
        if len(rows) < _PAGE:
            return held.intersection(ids)
        start = f"({rows[-1]['message_id'].decode()}"
