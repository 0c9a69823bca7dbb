"""Hints: headers of a request that are kept with its events, for a publisher's file or the settings list them.

They are not signed. Anyone who can repeat a signed body can send other headers with it, so they decide nothing: they
are for correlation (the name that a caller of the Background API gave its request) and for looking into what came.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

import msgspec

MAX_HINTS: Final = 32  # of a request
MAX_BYTES: Final = 4096  # of a request's names and values; a header that would exceed them is left out whole
_MAX_VALUE: Final = 1024  # bytes: half a value would be another
_MAX_OF_BODY: Final = 1024 * 1024  # bytes that the items of one body may take for them
_MOST_NAMES: Final = 256
_NEVER: Final = re.compile(
    r"signature|authori[sz]ation|authentication|(?:^|[-_])auth(?:$|[-_])|cookie|secret|token|passw|credential|api[-_]?key"
)
"""Names of headers that may hold what lets somebody in; no list can ask for them."""

_decode = msgspec.json.Decoder(dict[str, str]).decode
_encode = msgspec.json.Encoder().encode


class HintList:
    """The headers that are kept for one publisher; `names` are in lower case, `*` in one stands for any characters."""

    def __init__(self, names: Iterable[str], signature: str) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._signature = signature
        self._judged: dict[bytes, str | None] = {}

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return those of a request's headers that are kept, as a JSON object; empty where there are none.

        Repeated headers are joined by commas, as HTTP has it. Never raises.
        """
        found: dict[str, str] = {}
        if self._names:
            room = MAX_BYTES
            for sent, value in headers:
                name = self._judged.get(sent, "")
                if name == "":
                    name = self._judge(sent)
                if name is not None and value and len(value) <= min(_MAX_VALUE, room - len(sent)):
                    room -= len(sent) + len(value)
                    if name in found:
                        found[name] += f", {_text(value)}"
                    elif len(found) < MAX_HINTS:
                        found[name] = _text(value)
        return _encode(found) if found else b""

    def _judge(self, sent: bytes) -> str | None:
        """Return a header's name in lower case, None where it is not kept; senders use few, which are remembered."""
        name = sent.decode("ascii", "replace").lower()
        is_kept = name != self._signature and not _NEVER.search(name) and any(fnmatchcase(name, n) for n in self._names)
        judged = name if is_kept else None
        if len(self._judged) < _MOST_NAMES and len(sent) <= _MAX_VALUE:
            self._judged[sent] = judged
        return judged


def share(hints: bytes, items: int) -> bytes:
    """Return the hints that each of a body's items is stored with: none where they would take too much in all."""
    return hints if len(hints) * items <= _MAX_OF_BODY else b""


def read_hints(stored: bytes | None) -> Mapping[str, str]:
    """Return the hints that an entry holds; none where it has none, or what somebody else wrote there."""
    if not stored:
        return {}
    try:
        return _decode(stored)
    except (ValueError, RecursionError):
        return {}


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")  # what HTTP once said headers are written in
