"""What an event is about: the path of a record, as far as it can be trusted, and its one name.

A handler joins the path to the base URL it is configured with. The path comes from outside, so it must not be able to
leave that base (`..`), to name another host (`//host`, a scheme), or to mean one thing to us and another to the library
or server that reads it later. A path that could is refused, not repaired: a sender that means well never sends one.

Numbers may hold what paths reserve: `A#1`, `50%`, `1/2`. Nothing is ever cut off at such a character: what is left
could be the number of another record. However a link writes a number (as it is, percent-encoded, as `b64(…)`), the name
has the number itself, and the path has it as the publisher's interface reads it.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes

from config.publishers import Paths

MAX_PATH: Final = 1000  # characters
_MAX_LINK: Final = 4 * MAX_PATH  # with a scheme and a host
_MOST_KEPT: Final = 4096
_HOST: Final = re.compile(r"https?://[^/?#\s]+(?=/)", re.IGNORECASE)
_HEAD: Final = re.compile(
    r"(?:([0-9]{1,32})/(?=api/|v[0-9]+/))?"  # the company
    r"(?:(?:api/controller/)?api/)?"  # the longer one is that of the old host
    r"(?:(v[0-9]+)(?:/|$))?",
    re.IGNORECASE,
)
_COLLECTION: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*")
_SIMPLE: Final = re.compile(r"(?:api/)?(v[0-9]+/([A-Za-z0-9_-]+)/((?:[A-Za-z0-9_-]+/)*([A-Za-z0-9_-]+)))")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_~-](?:[A-Za-z0-9_.~-]*[A-Za-z0-9_~-])?")  # needs no escape in a path
_B64: Final = re.compile(r"b64\(([A-Za-z0-9_+-]+)={0,2}\)", re.IGNORECASE)
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TRICKS: Final = re.compile(r"(?:^|/)\.\.?(?:[/;]|$)|\\")  # `..;` is `..` to servers that know path parameters


class Resource(NamedTuple):
    """A record, or a whole collection, which has no `id`; `company` is what the link says it belongs to."""

    path: str
    name: str
    id: str | None
    company: str | None


class Records:
    """Reads the links of one publisher."""

    def __init__(self, paths: Paths) -> None:
        self._b64 = paths.escape == "b64"
        self._shapes: dict[str, list[re.Pattern[str]]] = {}
        self._depths: dict[str, set[int]] = {}  # how many parts can only be those of the record's key
        for record in paths.records:
            collection, _, key = record.partition("/")
            self._shapes.setdefault(collection.lower(), []).append(_shape(key))
            depths = self._depths.setdefault(collection.lower(), {1})
            depths |= {key.count("/") + 1} if key.count("/") + 1 == key.count("{") else set()
        # A record that changed is likely to change again. Long links are left out, which bounds the memory this takes.
        self._known = lru_cache(maxsize=_MOST_KEPT)(self._read)

    def read(self, link: str, number: str | None = None) -> Resource | None:
        """Read a relative path or a link, whose host is dropped; None where that is not safe.

        `number` is what the sender says apart from the link: where the link ends with it, it tells where the number
        begins, which otherwise the publisher's file does for a collection, or else the last slash.
        """
        if len(link) > MAX_PATH or (number is not None and len(number) > MAX_PATH):
            return self._read(link, number)
        return self._known(link, number)

    def _read(self, link: str, number: str | None) -> Resource | None:
        return self._read_simple(link, number) or self._read_any(link, number)

    def _read_simple(self, link: str, number: str | None) -> Resource | None:
        """Read what nearly every path is: one in which there is nothing to decode and nothing to decide."""
        found = _SIMPLE.fullmatch(link) if len(link) <= MAX_PATH and not (number and "/" in number) else None
        if found is None:
            return None
        path, collection, key, last = found.groups()
        collection = collection.lower()
        depths = self._depths.get(collection)
        if depths is not None and key.count("/") + 1 not in depths:
            return None
        return Resource(path, f"{collection}/{key}", last, None)

    def _read_any(self, link: str, number: str | None) -> Resource | None:
        path = _path(link, number)
        if path is None or (head := _HEAD.match(path)) is None:
            return None
        company, version = head.groups()
        collection, _, tail = path[head.end() :].partition("/")
        if not _COLLECTION.fullmatch(collection):
            return None
        parts = self._parts(collection.lower(), tail, number) if tail.strip("/") or (tail and tail == number) else []
        if not all(map(is_safe, parts)):
            return None
        place = "/".join([*filter(None, [version]), collection, *map(self._escaped, parts)])
        if len(place) > MAX_PATH:
            return None
        name = "/".join([collection.lower(), *map(_without_slash, parts[:-1]), *parts[-1:]])
        return Resource(place, name, parts[-1] if parts else None, company)

    def _parts(self, collection: str, tail: str, number: str | None) -> list[str]:
        """Return the parts of a record's key, decoded; the number is the last one."""
        shapes = self._shapes.get(collection, ())
        before = self._before(tail, number) if number else None
        if number and before is not None and (not shapes or any(len(before) + 1 >= shape.groups for shape in shapes)):
            return [*map(self.decoded, before), number]
        for shape in shapes:
            if found := shape.fullmatch(tail):
                return [*map(self.decoded, self._without_end(found.groups()))]
        return [*map(self.decoded, tail.removesuffix("/").split("/"))]

    def _without_end(self, parts: Sequence[str]) -> Sequence[str]:
        """Return the parts without a slash at the end, where what is before it is written so that it holds none."""
        last = parts[-1].removesuffix("/")
        return (*parts[:-1], last) if self._b64 and _B64.fullmatch(_unquoted(last)) else parts

    def _before(self, tail: str, number: str) -> list[str] | None:
        """Return the parts before a number that the tail of a path ends with; None where it ends otherwise."""
        for end in (tail, tail.removesuffix("/")):
            if end == number:
                return []
            if end.endswith(f"/{number}"):
                return end[: -len(number) - 1].split("/")
        places = [-1, *(place for place, letter in enumerate(tail) if letter == "/")] if {"%", "("} & {*tail} else []
        for place in reversed(places):
            if self.decoded(tail[place + 1 :]) == number:
                return tail[:place].split("/") if place > 0 else []
        return None

    def decoded(self, text: str) -> str:
        """Return the number that a part of a path writes."""
        plain = _unquoted(text)
        return number_of(plain) if self._b64 else plain

    def decoded_id(self, number: str) -> str:
        """Return the number that a field of its own writes: as it is, or as `b64(…)`; its percent signs are its own."""
        return number_of(number) if self._b64 else number

    def _escaped(self, part: str) -> str:
        if _PLAIN.fullmatch(part):
            return part
        if not self._b64:
            return quote(part, safe="")
        return f"b64({base64.urlsafe_b64encode(part.encode()).decode().rstrip('=')})"


def is_safe(number: str) -> bool:
    """Tell whether a number, or any part of a key, means the same to all who read it, however they decode it."""
    if not number:
        return False
    if _PLAIN.fullmatch(number):
        return True
    while "%" in number and (decoded := unquote(number)) != number:  # some server decodes twice
        number = decoded
    return number.isprintable() and not _TRICKS.search(number)


def number_of(text: str) -> str:
    """Return the number that is written as `b64(BASE64URL)`, with or without padding; anything else as it is."""
    found = _B64.fullmatch(text)
    if not found:
        return text
    try:
        digits = found[1].replace("+", "-")
        return base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


def key_of(value: Any) -> str | None:
    """Return the key of a record as names have it, made of the values of an object, or a list of objects, in order.

    `[{"OrderNo": 5}, {"LineNo": 2}]` is `5/2`. None for what holds none, or anything but texts and whole numbers.
    """
    objects = value if isinstance(value, list) else [value]
    if not all(isinstance(part, dict) for part in objects):
        return None
    parts = [part for found in objects for part in found.values()]
    if not parts or not all(type(part) is int or (type(part) is str and is_safe(part)) for part in parts):
        return None
    key = "/".join([*(_without_slash(str(part)) for part in parts[:-1]), str(parts[-1])])
    return key if len(key) <= MAX_PATH else None


def _without_slash(part: str) -> str:
    """Return a part of a key as a name has it before the last: with a slash in it, it would make two records one."""
    return part.replace("%", "%25").replace("/", "%2F")


def _path(link: str, number: str | None) -> str | None:
    """Return the path of a link without the slash it begins with; None where it names a host in another way."""
    if len(link) > _MAX_LINK or "\\" in link or not link.isprintable():
        return None
    text = link.lstrip(" ") if number and link.endswith(number) else link.strip(" ")
    host = _HOST.match(text)
    path = text[host.end() :] if host else text
    return None if path.startswith("//") or len(path) > MAX_PATH else path.removeprefix("/")


def _unquoted(text: str) -> str:
    """Return a percent-encoded text decoded; one that no encoder made is a plain text that holds the sign."""
    if "%" not in text or _BROKEN_ESCAPE.search(text):
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        return text


def _shape(record: str) -> re.Pattern[str]:
    """Return what the path of a record looks like below its collection: a group for each part of its key."""
    parts = record.split("/")
    last = max(place for place, part in enumerate(parts) if part.startswith("{"))
    heads = ["([^/]+)" if part.startswith("{") else f"({re.escape(part)})" for part in parts[:last]]
    behind = "".join(f"/{re.escape(part)}" for part in parts[last + 1 :])
    return re.compile("/".join([*heads, f"(.+?)(?:{behind}/?)?" if behind else "(.+)"]), re.IGNORECASE)
