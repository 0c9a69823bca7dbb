"""What the head of a request says: which publisher it is for, and whether its body is encoded."""

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

_PATH = "/webhooks/"


@lru_cache(maxsize=256)
def publisher_named_by(target: str) -> str | None:
    """Return the publisher that a request target names, None for a path that is not below /webhooks/.

    Portals keep what a user typed: a slash too many, a space behind it, a name that was percent-encoded.
    """
    path = re.sub("/+", "/", unquote(_path_of(target)))
    return path.removeprefix(_PATH).rstrip("/ ") if path.startswith(_PATH) else None


def _path_of(target: str) -> str:
    """Return the path of a request target, also of one in absolute form (RFC 9112, 3.2.2)."""
    path = target.partition("?")[0]
    return path if path.startswith("/") else f"/{path.partition('://')[2].partition('/')[2]}"


def is_encoded(encodings: Sequence[str]) -> bool:
    """Tell whether any of the values of Content-Encoding names an encoding; `identity` is none, nor is nothing."""
    return any(name.strip().lower() not in ("", "identity") for value in encodings for name in value.split(","))
