"""The files of a server: they hold every command that it was ever given, until they are written again."""

import asyncio
import time
from typing import Final

from router.store.client import Store
from router.store.errors import StoreRefused

__all__ = ["write_files_again"]

_PATIENCE: Final = 60.0
_LOOK: Final = 0.05
_UNKNOWN: Final = "unknown command"


async def write_files_again(store: Store) -> str:
    """Have a server write its append-only file again, and wait for that; return why it did not, or an empty text.

    Raises StoreUnavailable.
    """
    until = time.monotonic() + _PATIENCE
    try:
        await _idle(store, until)
        await store.command("BGREWRITEAOF")
        if await _idle(store, until):
            return ""
    except StoreRefused as error:
        if _UNKNOWN in str(error):  # a server in memory has no such file
            return ""
        return f"the server's append-only file still has what was removed: {error}"
    return (
        "the server has not finished to write its append-only file again: what was removed is in the old one till then"
    )


async def _idle(store: Store, until: float) -> bool:
    """Wait until no file is being written again; return whether that is so in time."""
    while time.monotonic() < until:
        info = await store.command("INFO", "persistence")
        if not any(int(info.get(name, 0)) for name in ("aof_rewrite_in_progress", "aof_rewrite_scheduled")):
            return True
        await asyncio.sleep(_LOOK)
    return False
