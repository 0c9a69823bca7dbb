"""Whom bytes name: tenants and companies, by the names that a publisher has for these, whatever form the bytes have."""

import binascii
import re
from collections.abc import Iterator, Mapping
from html import unescape
from itertools import zip_longest
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from config.publisher_types import fold
from config.publishers import Dialect, Publisher
from router.events.readings import readings
from router.events.whose import Pair

__all__ = ["named_in"]

_BOM: Final = b"\xef\xbb\xbf"
_DEEP: Final = 4
"""How often a text within a text is looked into."""
_BEGINNINGS: Final = ("{", "[", "<")
_BASE64: Final = re.compile(r"[eWPH][A-Za-z0-9+/_-]{10,}={0,2}")  # of what begins with `{`, `[`, `<`, or as gzip does
_URL_SAFE: Final = str.maketrans("-_", "+/")

_decode = msgspec.json.Decoder().decode


def named_in(publisher: Publisher | None, raw: bytes) -> list[Pair]:
    """Return all tenants and companies that bytes name as a publisher does.

    They may be JSON, XML, a form or lines of these, torn or miswritten, compressed, in any encoding of Unicode, or a
    text within one of them. An id is found as a whole value of such a name, never as a part of one.
    """
    dialect = Dialect() if publisher is None else publisher.dialect
    return [*dict.fromkeys(pair for reading in readings(raw) for pair in _named_in(dialect, reading, _DEEP))]


def _named_in(dialect: Dialect, raw: bytes, deep: int) -> Iterator[Pair]:
    try:
        body = _decode(raw.removeprefix(_BOM))
    except (ValueError, RecursionError):
        yield from _torn(dialect, raw.decode(errors="replace"), deep)
        return
    found = [*_pairs(dialect, body, deep)]
    yield from found
    tenants, companies = ({"", *(pair[number] for pair in found)} for number in (0, 1))
    for tenant, company in _matched(dialect, _TWICE, raw.decode(errors="replace")):
        if tenant not in tenants or company not in companies:
            yield tenant, company


def _within(dialect: Dialect, text: str, deep: int) -> Iterator[Pair]:
    """Yield what a text names that stands in another: where it begins as JSON or XML does, or is that in base64."""
    text = text.strip()
    if not deep or len(text) < len('{"":1}'):
        return
    if text.startswith((*_BEGINNINGS, '"')):
        yield from _named_in(dialect, text.encode(errors="replace"), deep - 1)
    elif _BASE64.fullmatch(text):
        text = text.rstrip("=").translate(_URL_SAFE)
        raw = binascii.a2b_base64(text[: len(text) - (len(text) % 4 == 1)] + "==")
        for reading in readings(raw):
            if reading.startswith((b"{", b"[", b"<")):
                yield from _named_in(dialect, reading, deep - 1)


def _pairs(dialect: Dialect, body: Any, deep: int) -> Iterator[Pair]:
    level = [body] if isinstance(body, dict | list | str) else []
    while level:
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, str):
                yield from _within(dialect, item, deep)
                continue
            if isinstance(item, dict):
                tenants, companies = _named(item, dialect.tenant_id), _named(item, dialect.company_id)
                yield from zip_longest(tenants, companies, fillvalue="")
            children = item.values() if isinstance(item, Mapping) else item
            deeper += [child for child in children if isinstance(child, dict | list | str)]
        level = deeper


def _named(item: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """Return all ids that an object has under one of these names, which it may write in several ways."""
    return [*filter(None, dict.fromkeys(_id(value) for key, value in item.items() if fold(key) in names))]


def _id(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


_TWICE: Final = re.compile(r'"([A-Za-z][\w.\- ]{2,40})"\s{0,100}:\s{0,100}(?:"([^"\\]{1,200})"|(\d{1,50}))')
"""A member of valid JSON; of several that have one name a decoder knows the last alone."""
_ESCAPED: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_BEFORE_QUOTES: Final = re.compile(r"""\\(?=[\\"'/])""")
_MEMBER: Final = re.compile(
    r"""(?<![A-Za-z0-9_])([A-Za-z][\w.\- ]{2,40})["']?\s*[:=]\s*(?:"([^"]{1,200})|'([^']{1,200})|([\w.\-]{1,200}))"""
)
_ATTRIBUTE: Final = re.compile(
    r"""(?<![A-Za-z0-9_])([A-Za-z][\w.\-]{2,40})\s{0,20}=\s{0,20}(?:"([^"]{1,200})"|'([^']{1,200})')"""
)
_ELEMENT: Final = re.compile(
    r"<(?:[\w.\-]+:)?([A-Za-z][\w.\-]{2,40})(?:\s[^<>]*)?>\s{0,100}(?:<!\[CDATA\[)?([^<>\]]{1,200})"
)
_PROPERTY: Final = re.compile(
    r"""\b(?:name|key|id)\s{0,20}=\s{0,20}["']?([A-Za-z][\w.\-]{2,40})["']?"""
    r"""(?:[^<>\r\n]{0,100}\bvalue\s{0,20}=\s{0,20}["']([^"']{1,200})["']|[^<>\r\n]{0,100}>\s{0,100}([^<>]{1,200})"""
    r"""|[^\r\n]{0,100}\r?\n(?:[^\r\n]{1,100}\r?\n){0,5}\r?\n([^\r\n]{1,200}))"""
)
"""As XML has it for pairs of names and values, and a form of several parts."""
_ALL: Final = (_MEMBER, _ATTRIBUTE, _ELEMENT, _PROPERTY)
_WORD: Final = re.compile(r"[\w.\- ]+")


def _torn(dialect: Dialect, text: str, deep: int) -> Iterator[Pair]:
    """Yield what a text names that is no JSON: a torn or a miswritten body, lines, XML, a form."""
    texts = [text]
    if "\\" in text:
        texts.append(_BEFORE_QUOTES.sub("", _ESCAPED.sub(lambda code: chr(int(code[1], 16)), text)))
    if "&" in text:
        texts.append(unescape(text))
    for each in texts:
        for members in _ALL if "<" in each or "name=" in each else (_MEMBER,):
            yield from _matched(dialect, members, each)
    if "=" in text:
        yield from _form(dialect, text, deep)


def _form(dialect: Dialect, text: str, deep: int) -> Iterator[Pair]:
    """Yield what a form names, also by the last part of names such as `events[0][companyId]`; and within its values."""
    for field in text.split("&"):
        name, _, value = map(unquote_plus, field.partition("="))
        if words := _WORD.findall(name):
            yield from _owner(dialect, words[-1], value)
        yield from _within(dialect, value, deep)


def _matched(dialect: Dialect, members: "re.Pattern[str]", text: str) -> Iterator[Pair]:
    for member in members.finditer(text):
        yield from _owner(dialect, member[1], next(filter(None, member.groups()[1:]), ""))


def _owner(dialect: Dialect, name: str, value: str) -> Iterator[Pair]:
    """Yield whom a member names; of several words before its value the last ones may be its name."""
    id_, words = unescape(value).strip(), name.split()
    names = {fold(" ".join(words[start:])) for start in range(len(words))}
    if id_ and not names.isdisjoint(dialect.company_id):
        yield "", id_
    elif id_ and not names.isdisjoint(dialect.tenant_id):
        yield id_, ""
