"""A request as pages read it: whatever a stranger writes into one, reading it raises nothing but BadRequest.

What is not UTF-8 is replaced, so that every text can be written, compared and sent on.
"""

from collections.abc import Mapping
from functools import cached_property
from urllib.parse import parse_qsl, quote, unquote

from router.http.parser import RawRequestMessage

_MOST_FIELDS = 2000
_FORM = "application/x-www-form-urlencoded"
_AS_THEY_ARE = "/?&=:@!$'()*+,;~%-._[]"


class BadRequest(Exception):
    """The request makes no sense; the message is ours, and for the sender."""


class Fields(dict[str, str]):
    """What a query or a form says: of a name that occurs more than once, the first value, and all of them."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(reversed(pairs))
        self._pairs = pairs

    def all(self, name: str) -> list[str]:
        """Return every value of a name, in their order."""
        return [value for found, value in self._pairs if found == name]


class Request:
    """One request that has come whole; `remote` is the address that sent it, empty where that has gone already."""

    def __init__(self, head: RawRequestMessage, body: bytes = b"", remote: str = "") -> None:
        self._head = head
        self.body = body
        self.remote = remote

    @property
    def method(self) -> str:
        """The method, as it was written."""
        return self._head.method

    @cached_property
    def target(self) -> str:
        """The path with its query, in ASCII; without the scheme and the host that a proxy may have written there."""
        return origin_form(quote(self._head.path.encode("utf-8", "surrogateescape"), safe=_AS_THEY_ARE))

    @cached_property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.target.partition("?")[0])

    @cached_property
    def query(self) -> Fields:
        """The fields of the query; raises BadRequest where there are too many."""
        return _fields(self.target.partition("?")[2].partition("#")[0])

    @cached_property
    def form(self) -> Fields:
        """The fields of a form as browsers send it; raises BadRequest for anything else."""
        kind, _, parameters = self.header("Content-Type").partition(";")
        charset = parameters.strip().lower().removeprefix("charset=").strip('"') or "utf-8"
        if kind.strip().lower() != _FORM or charset != "utf-8":
            raise BadRequest("this is no form as browsers send them")
        try:
            return _fields(self.body.decode().rstrip())
        except UnicodeDecodeError:
            raise BadRequest("this is no form as browsers send them: it is not UTF-8") from None

    def header(self, name: str, otherwise: str = "") -> str:
        """Return the first header of a name."""
        return _text(self._head.headers.get(name, otherwise))

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by their names; of two the first, which is that of the longer path (RFC 6265, 5.4)."""
        lines = "; ".join(map(_text, self._head.headers.getall("Cookie", ())))
        pairs = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in lines.split(";"))]
        return dict(reversed(pairs))


def origin_form(target: str) -> str:
    """Return a request target without the scheme and the host of one in absolute form (RFC 9112, 3.2.2)."""
    return target if target.startswith("/") else f"/{target.partition('://')[2].partition('/')[2]}"


def _fields(text: str) -> Fields:
    try:
        return Fields(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise BadRequest(f"there are more than {_MOST_FIELDS} fields") from None


def _text(value: str) -> str:
    """Return what can be encoded: the parser hands on bytes that are not UTF-8 as lone surrogates."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
