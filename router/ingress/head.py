"""What the head of a request says: which publisher it is for, and whether its body is encoded."""

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

from router.http.request import origin_form

_PATH = "/webhooks/"


@lru_cache(maxsize=256)
def publisher_named_by(target: str) -> str | None:
    """Return the publisher that a request target names, None for a path that is not below /webhooks/.

    Portals keep what a user typed: a slash too many, a space behind it, a name that was percent-encoded.
    """
    path = re.sub("/+", "/", unquote(origin_form(target.partition("?")[0])))
    return path.removeprefix(_PATH).rstrip("/ ") if path.startswith(_PATH) else None


def is_encoded(encodings: Sequence[str]) -> bool:
    """Tell whether any of the values of Content-Encoding names an encoding; `identity` is none, nor is nothing."""
    return any(name.strip().lower() not in ("", "identity") for value in encodings for name in value.split(","))
