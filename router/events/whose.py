"""Whose data something is: of a company of an ERP, of a tenant, or of one company of one tenant.

What is kept of an erasure must not name whom it was for. So a company or a tenant may also be given by its digest.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

import msgspec

__all__ = ["Pair", "Whose", "digest_of"]

Pair = tuple[str, str]
"""A tenant and a company; empty for what is not known."""

DIGEST: Final = "sha256:"
ERASED: Final = "erased"
"""What stands in a text in place of the id that was there."""
_LEAST: Final = 4
_LEAST_DIGITS: Final = 6
"""Characters, or digits, from which on an id is one wherever it stands as a word; `51` may be anything."""
_OF_LIMIT: Final = 3
"""Parts of the name of a quota: publisher, tenant and company."""
_PARTS: Final = re.compile(r"[/:|,;\s]+")


class _Names(msgspec.Struct):
    id: str = ""
    publisher: str = ""
    type: str = ""
    company_id: str | None = None
    tenant_id: str | None = None


_decode = msgspec.json.Decoder(_Names).decode


@lru_cache(4096)
def digest_of(kind: str, id_: str) -> str:
    """Return what stands for the id of a `company` or a `tenant` where nobody is to read it."""
    return DIGEST + sha256(f"{kind}\0{id_}".encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose data is wanted; `publisher`: only what came from this one. Each id is plain, or its digest."""

    company: str | None = None
    tenant: str | None = None
    publisher: str | None = None

    @property
    def hashed(self) -> "Whose":
        """Return the same by digests."""
        return Whose(_hashed("company", self.company), _hashed("tenant", self.tenant), self.publisher)

    def describe(self) -> dict[str, str]:
        """Return what the audit keeps of it: it can be found there by the id, and the id cannot be read."""
        hashed = self.hashed
        given = {"company": hashed.company, "tenant": hashed.tenant, "publisher": hashed.publisher}
        return {name: value for name, value in given.items() if value}

    def wants(self, tenant: str | None, company: str | None) -> bool:
        """Return whether what belongs to these is wanted."""
        return _is("company", self.company, company) and _is("tenant", self.tenant, tenant)

    def wants_any(self, pairs: Iterable[Pair]) -> bool:
        """Return whether what names all these is wanted: a tenant may be named beside its company, or around it."""
        found = [*pairs]
        return (self.company is None or any(_is("company", self.company, company) for _, company in found)) and (
            self.tenant is None or any(_is("tenant", self.tenant, tenant) for tenant, _ in found)
        )

    def wants_publisher(self, slug: str) -> bool:
        """Return whether what came from a publisher may be wanted."""
        return self.publisher is None or self.publisher == slug

    def is_named(self, name: str) -> bool:
        """Return whether a name that a program or a person gave to something is made of the wanted ids.

        Its parts are separated by slashes, colons or blanks, and escaped as in URLs. Such a name has a company alone,
        behind its tenant, or behind publisher and tenant; an id that can be nothing else counts wherever it is.
        """
        parts = [unquote(part) for part in _PARTS.split(name)]
        first, second, third, *_ = [*parts, "", "", ""]
        placed = [("", first), (first, "")] if len(parts) == 1 else [(first, second)]
        if len(parts) == _OF_LIMIT:
            placed.append((second, third))
        return any(self.wants(*pair) for pair in placed) or self.is_surely_named(name)

    def is_surely_named(self, name: str) -> bool:
        """Return whether a name has the wanted ids as parts of it, wherever, and they can be nothing else."""
        parts = [unquote(part) for part in _PARTS.split(name)]
        wanted = [("company", self.company), ("tenant", self.tenant)]
        return all(
            id_ is None or (_is_distinct(id_, alone=False) and any(_is(kind, id_, part) for part in parts))
            for kind, id_ in wanted
        )

    def is_in(self, text: str) -> bool:
        """Return whether a text has the id as a word of its own; never for one such as `51`, which may be anything."""
        id_ = self.company or self.tenant or ""
        return _is_distinct(id_, alone=True) and id_ in text and _word(id_).search(text) is not None

    def masked(self, text: str) -> str:
        """Return a text with `erased` in place of the id, wherever that is a word of its own."""
        id_ = self.company or self.tenant or ""
        return _word(id_).sub(ERASED, text) if id_ and id_ in text else text


def event_pair(event: bytes, id_: str, stream: str) -> Pair | None:
    """Return whose an event is by its JSON; None where that is no event of this id and stream (`publisher/type`)."""
    try:
        names = _decode(event)
    except (ValueError, RecursionError):
        return None
    if names.id != id_ or f"{names.publisher}/{names.type}" != stream:
        return None
    return names.tenant_id or "", names.company_id or ""


def _is(kind: str, wanted: str | None, found: str | None) -> bool:
    if wanted is None or wanted == found:
        return True
    return bool(found) and wanted.startswith(DIGEST) and wanted == digest_of(kind, found or "")


def _is_distinct(id_: str, *, alone: bool) -> bool:
    """Return whether an id can be nothing else; a number can where it does not stand `alone`: that of a record."""
    return len(id_) >= _LEAST and (not id_.isdigit() or (alone and len(id_) >= _LEAST_DIGITS))


def _hashed(kind: str, id_: str | None) -> str | None:
    return id_ if id_ is None or id_.startswith(DIGEST) else digest_of(kind, id_)


@lru_cache(64)
def _word(id_: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(id_)}(?![\w-])")
