"""What an event is about: the path of a resource, as far as it can be trusted, and its identity.

A handler joins the path to the base URL it is configured with. The path comes from outside, so it must not be able to
leave that base (`..`), to name another host (`//host`, a scheme), or to mean one thing to us and another to the library
or server that reads it later (a backslash, a control character, any of these percent-encoded). A path that could is
refused, not repaired: a sender that means well never sends one.
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

__all__ = ["MAX_PATH", "identity", "is_safe", "last_segment", "path_of", "relative"]

MAX_PATH: Final = 1000  # characters
_ORDINARY: Final = re.compile(r"[A-Za-z0-9_/-]*")  # nothing in it to play tricks with: nearly every path, and quick
_TRICKS: Final = re.compile(r"^[^/]*:|[?#]")
_ESCAPES: Final = re.compile(r"(?:^|/)\.\.?(?:[/;]|$)|\\")  # `..;` is `..` to servers that know path parameters
_ABSOLUTE: Final = re.compile(r"https?://[^/?#\\]+", re.IGNORECASE)
_PREFIX: Final = re.compile(r"^(?:api/controller/)?api/", re.IGNORECASE)  # the longer one is that of the old host


def is_safe(path: str) -> bool:
    """Tell whether a relative path stays below whatever base it is joined to, however it is read."""
    if len(path) > MAX_PATH or "//" in path:
        return False
    if _ORDINARY.fullmatch(path):
        return True
    if _TRICKS.search(path):
        return False
    while "%" in path and (decoded := unquote(path)) != path:  # some server decodes twice
        path = decoded
    return path.isprintable() and not _ESCAPES.search(path)


def relative(uri: str) -> str | None:
    """Reduce `/api/v1/customer/5?x` to `v1/customer/5`: no leading slash, `api/`, query or fragment; None if unsafe."""
    return _known(uri) if len(uri) <= MAX_PATH else _reduced(uri)


def _reduced(uri: str) -> str | None:
    path = uri.partition("?")[0].partition("#")[0].strip(" ")
    if "//" in path:  # looked for before a slash is taken off
        return None
    path = path.strip("/")
    if path[:4].lower() == "api/":
        path = _PREFIX.sub("", path, count=1)
    return path if path and is_safe(path) else None


# A resource that changed is likely to change again. Long ones are left out, which bounds the memory this takes.
_known = lru_cache(maxsize=4096)(_reduced)


def path_of(url: str) -> str | None:
    """Return the path of an absolute URL, or of what is a relative path already, as `relative` does.

    The host is dropped: nothing may be fetched from where a notification says, and the old host is on its way out.
    """
    host = _ABSOLUTE.match(url)
    return relative(url[host.end() :] if host else url)


@lru_cache(maxsize=4096)
def identity(path: str) -> str:
    """Return the resource whatever the version of its interface: `v1/Customer/5` and `v2/customer/5` are one."""
    collection, slash, rest = path.partition("/")
    if slash and collection[:1] in "vV" and collection[1:].isdigit():
        collection, slash, rest = rest.partition("/")
    return collection.lower() + slash + rest


def last_segment(resource: str | None) -> str | None:
    """Return the id at the end of a resource; None for a whole collection, which has none."""
    return resource.rpartition("/")[2] if resource and "/" in resource else None
