"""What the version before the field `event` left behind: a store, and the spool of an ingress that was killed.

Its own ingress, worker and `dlq replay` wrote them. `store.json` holds the commands that make the keys anew, entry ids
moved 400 days back so that no server's clock is behind them; `{"base64": …}` stands for bytes that are no UTF-8.
"""

import base64
import json
from pathlib import Path
from typing import Any

from router.store.client import Store

__all__ = ["SPOOL", "load_earlier"]

_FOLDER = Path(__file__).parents[1] / "earlier"
SPOOL = _FOLDER / "spool.db"
"""The file of the spool; it belongs to the keys under `er`."""


async def load_earlier(store: Store) -> None:
    """Put everything into a store."""
    for name, *arguments in json.loads((_FOLDER / "store.json").read_text()):
        parts = [_part(argument, store.keys.prefix) for argument in arguments]
        await store.client.execute_command(name, *parts)


def _part(value: Any, prefix: str) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    if isinstance(value, str) and value.startswith(("er:{", "er:audit")):
        return f"{prefix}{value.removeprefix('er')}"
    return value
