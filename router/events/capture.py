"""Samples of bodies that can be shown to others: what was sent, with every value replaced by one of the same shape.

Kept are the structure, the names of fields, the words of the catalogue and of the wire, null, true, false and 0. A name
of a field that nobody knows is kept where it is written as programs write names, since such names are what a sample is
for; one that could be data (blanks, dots, other alphabets, many digits, the same as a value) is replaced. A body that
is no JSON is cut into its words, and each is replaced that is no word of the wire.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec

from config.publisher_types import fold
from router.events.disguise import BREAKS, Disguise
from router.events.vocabulary import Vocabulary

_TOKEN: Final = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*+")(?P<colon>\s*+:)?'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![^\s\"{}\[\],:]))"
    r'|(?P<word>[^\s"{}\[\],:]+)'
    r'|(?P<rest>".*)',  # quotation marks that nothing ends: looked for once, not again from each one behind them
    re.DOTALL,
)
_PROGRAMMED: Final = re.compile(r"[@$]?[A-Za-z_][A-Za-z0-9_]{0,63}")
_MOST_DIGITS: Final = 2  # in a name that a programmer gave
_LEAST: Final = 3  # characters of a value that must not be found again
_AGAIN: Final = 10
_BOM: Final = "\ufeff"
_LITERALS: Final = frozenset(("true", "false", "null"))


@dataclass(frozen=True, slots=True)
class Sample:
    """A body that says nothing of the one it was made from but its shape, and hints likewise.

    `names` are the unknown names of fields that were kept.
    """

    body: bytes
    hints: Mapping[str, str]
    names: tuple[str, ...]


def sample_of(raw: bytes, hints: Mapping[str, str], vocabulary: Vocabulary, random: Random) -> Sample:
    """Make a sample of a body, whatever its bytes are, and of the hints that came with it; never raises."""
    text = raw.decode("utf-8", "surrogateescape")
    bom = _BOM if text.startswith(_BOM) else ""
    text = text.removeprefix(_BOM)
    is_json = _is_json(text)
    values = frozenset(value.lower() for value in (*_values(text), *hints.values()))
    writing = _Writing(text, values, vocabulary, random, is_json=is_json)
    for _ in range(_AGAIN):
        if not writing.survivors():
            break
        writing = _Writing(text, values, vocabulary, random, is_json=is_json)
    body = f"{bom}{writing.body}".encode("utf-8", "surrogateescape")
    shown = {name: writing.disguise.text(value) for name, value in hints.items()}
    return Sample(body, shown, tuple(dict.fromkeys(writing.names)))


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return False
    return True


def _values(text: str) -> Iterator[str]:
    """Yield every value of a body, and every other word of one that is no JSON."""
    for token in _TOKEN.finditer(text):
        if token["string"] is None:
            yield token[0]
        elif token["colon"] is None:
            yield _plain(token["string"])


def _plain(token: str) -> str:
    """Return what a JSON string says; one that is wrong is taken as it is written."""
    try:
        plain: str = json.loads(token, strict=False)
    except ValueError:
        return token[1:-1]
    return plain


def _quoted(text: str, like: str) -> str:
    """Write a JSON string with the escapes that another one has."""
    written = json.dumps(text, ensure_ascii="\\u" in like)
    return written.replace("/", "\\/") if "\\/" in like else written


class _Writing:
    """One sample; `names` are the unknown ones that it keeps."""

    def __init__(
        self, text: str, values: frozenset[str], vocabulary: Vocabulary, random: Random, *, is_json: bool
    ) -> None:
        words = {word for value in values for word in BREAKS.split(value) if word}
        self._text = text
        self._values = values
        self._vocabulary = vocabulary
        self._is_json = is_json
        self.disguise = Disguise(random, vocabulary, values | words)
        self._made: set[str] = set()
        self._field = ""
        self.names: list[str] = []
        self.body = "".join(self._parts())

    def survivors(self) -> set[str]:
        """Return the values of the original that chance has written again."""
        return {made for made in self._made if len(made) >= _LEAST} & self._values

    def _parts(self) -> Iterator[str]:
        """Yield the sample: what is between its values as it is, and the values replaced."""
        end = 0
        for token in _TOKEN.finditer(self._text):
            yield self._text[end : token.start()]
            end = token.end()
            if token["string"] is None:
                yield self._note(token[0], self._bare(token[0]))
            elif token["colon"] is not None:
                yield self._name(token["string"]) + token["colon"]
            else:
                plain = _plain(token["string"])
                yield _quoted(self._note(plain, self.disguise.text(plain, self._field)), token["string"])
        yield self._text[end:]

    def _note(self, before: str, made: str) -> str:
        if made != before:
            self._made.add(made.lower())
        return made

    def _name(self, token: str) -> str:
        name = _plain(token)
        self._field = fold(name)
        if self._vocabulary.keeps_name(name):
            return token
        if self._is_json and self._is_programmed(name):
            self.names.append(name)
            return token
        return _quoted(self.disguise.text(name), token)

    def _is_programmed(self, name: str) -> bool:
        return (
            _PROGRAMMED.fullmatch(name) is not None
            and sum(map(str.isdigit, name)) <= _MOST_DIGITS
            and name.lower() not in self._values
        )

    def _bare(self, text: str) -> str:
        """Replace what is in no quotation marks: a number, a literal, or the words of what is no JSON."""
        if text in _LITERALS:
            return text
        if self._is_json:
            return self.disguise.number(text)
        pieces = BREAKS.split(text)
        return "".join(
            piece if index % 2 or not piece or self._is_ours(piece) else self.disguise.text(piece)
            for index, piece in enumerate(pieces)
        )

    def _is_ours(self, piece: str) -> bool:
        return piece in _LITERALS or self._vocabulary.keeps_name(piece) or self._vocabulary.keeps(piece, "")
