"""From a relative path to the address that is asked: always one below the configured base.

A path may come from outside, through an event. It is written behind the base as it is, never resolved against it; one
that could leave the base, name a host, or be read in two ways is refused, and nothing is repaired.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from yarl import URL

from router.events.resource import MAX_PATH, is_safe
from workers.erp.errors import UnsafePath

__all__ = ["Params", "address"]

Params = Mapping[str, str | int | float]

_PART: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+")
_SHOWN: Final = 100  # characters of a path that a message repeats


def address(base: str, path: str, params: Params | None = None) -> URL:
    """Return the address of a relative path such as `v1/customer/55555`; raises UnsafePath.

    Reserved characters of a number are percent-encoded, or written as `b64(…)`, before; `params` are encoded here.
    """
    if fault := _fault(path):
        raise UnsafePath(f"the path {path[:_SHOWN]!r} {fault}: nothing was asked; write it as v1/customer/55555")
    root = URL(base, encoded=True)
    url = URL(f"{base}{path}", encoded=True)
    if url.origin() != root.origin() or not url.raw_path.startswith(root.raw_path):
        raise UnsafePath(f"the path {path[:_SHOWN]!r} leads out of {base}: nothing was asked")
    return url.with_query({name: str(value) for name, value in params.items()}) if params else url


def _fault(path: str) -> str:
    """Say what is wrong with a path; empty where nothing is."""
    if not path or len(path) > MAX_PATH:
        return f"has not 1 to {MAX_PATH} characters"
    parts = path.removesuffix("/").split("/")
    if not all(parts):
        return "has a slash in front, or two in a row"
    if set(parts[0]) & set(":@%"):
        return "begins as a link does"
    if not all(map(_PART.fullmatch, parts)):
        return "holds characters that no path has"
    return "" if all(is_safe(part) and "\ufffd" not in unquote(part) for part in parts) else "may lead elsewhere"
