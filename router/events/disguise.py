"""Values replaced by others of the same shape, the same one by the same one within a sample.

A shape is the length, the class of each character (a digit, a lower-case letter, a letter of that alphabet) and what
kind of value it is: a GUID stays a GUID, a date a date of its format, ticks stay ticks. What replaces a value is drawn
at random and kept nowhere but in the sample that is being made, so nothing leads back from one to the other.
"""

import re
import sys
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Final
from urllib.parse import quote, unquote

from router.events.vocabulary import Vocabulary

BREAKS: Final = re.compile(r"([\s/?&=,;|<>\"'()\[\]{}:@]+)")
"""What words are apart by; the words of a text are replaced one by one, so that each is the same wherever it stands."""

_TRIES: Final = 200
_LEAST: Final = 3  # characters of an original that must be in nothing that is written
_MOST: Final = 16  # beyond so many characters chance writes nothing twice
_DEPTH: Final = 3  # of texts that are encoded within each other

_LOWER, _UPPER, _DIGITS, _HEX = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "abcdef"
_SIGNS: Final = "!#%&*+-.:=?@^_|~"
_GUID: Final = re.compile(r"\{?[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\}?")
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(?:(:)\d\d(?:([.,])(\d+))?)?)?(Z|[+-]\d\d:?\d\d)?")
_DAY: Final = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})")
_MILLIS: Final = re.compile(r"(/Date\()(-?\d+)([+-]\d{4})?(\)/)")
_NUMBER: Final = re.compile(r"(-?)(\d+)(?:(\.)(\d+))?(?:([eE])([+-]?)(\d+))?")
_BASE64: Final = re.compile(r"b64\(([A-Za-z0-9_-]+=*)\)")
_SCHEMES: Final = frozenset(("http", "https"))
_TIMES: Final = {10: (10**9, 22 * 10**8), 13: (10**12, 22 * 10**11), 18: (6 * 10**17, 66 * 10**16)}
"""By how many digits: numbers that can be times, in seconds or milliseconds since 1970 or in ticks."""

_LEADING: Final = 4  # digits of a time that are always replaced

_PARTS_OF_DATES: Final = {1: _DIGITS[1:], 2: ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12")}
"""Days that are months too: which of them comes first is not known."""


class Disguise:
    """Replaces the values of one sample; `originals` are all values and words of it, in lower case."""

    def __init__(self, random: Random, vocabulary: Vocabulary, originals: frozenset[str]) -> None:
        self._random = random
        self._vocabulary = vocabulary
        self._originals = originals
        self._short = frozenset(text for text in originals if _LEAST <= len(text) <= _MOST)
        self._lengths = sorted({len(text) for text in self._short})
        self._known: dict[str, str] = {}

    def text(self, text: str, field: str = "") -> str:
        """Return what replaces a text in a field of this name, folded; a word of the vocabulary stays."""
        if not text.strip() or text in ("0", "true", "false") or self._vocabulary.keeps(text, field):
            return text
        if parts := self._vocabulary.split(text, field):
            return "".join(part if kept else self._word(part) for part, kept in parts)
        return self._whole(text, _DEPTH)

    def number(self, text: str) -> str:
        """Return what replaces a number as JSON writes it, of as many digits; 0 stays."""
        if text in ("0", "-0"):
            return text
        return self._numeric(text)

    def _whole(self, text: str, depth: int) -> str:
        if _GUID.fullmatch(text):
            return self._guid(text)
        for pattern, made in ((_ISO, self._iso), (_DAY, self._day), (_MILLIS, self._millis)):
            if pattern.fullmatch(text):
                return self._once(text, made)
        if depth and (found := _BASE64.search(text)):
            before, after = text[: found.start()], text[found.end() :]
            return self._parts(before, depth) + self._encoded(found[1], depth) + self._parts(after, depth)
        return self._parts(text, depth)

    def _parts(self, text: str, depth: int) -> str:
        """Replace what stands between breaks; in a path, words of ours stay."""
        is_path = "/" in text and not any(map(str.isspace, text))
        pieces = BREAKS.split(text)
        if not any(map(str.isalnum, text)):
            return self._once(text, self._signs) if text else ""
        return "".join(
            piece if index % 2 or not piece or (is_path and self._is_ours(piece)) else self._piece(piece, depth)
            for index, piece in enumerate(pieces)
        )

    def _is_ours(self, piece: str) -> bool:
        return piece.lower() in _SCHEMES or self._vocabulary.keeps_segment(piece)

    def _piece(self, piece: str, depth: int) -> str:
        if depth and "%" in piece and (plain := unquote(piece)) != piece and plain.isprintable():
            return quote(self._whole(plain, depth - 1), safe="")
        if _GUID.fullmatch(piece):
            return self._guid(piece)
        return self._numeric(piece) if _NUMBER.fullmatch(piece) else self._word(piece)

    def _encoded(self, text: str, depth: int) -> str:
        """Replace what is written as `b64(…)`, so that it is still the same as where it stands plain."""
        padding = "=" * (-len(text.rstrip("=")) % 4)
        try:
            plain = urlsafe_b64decode(text.rstrip("=") + padding).decode()
        except ValueError:
            return f"b64({self._word(text)})"
        made = urlsafe_b64encode(self._whole(plain, depth - 1).encode()).decode()
        return f"b64({made if text.endswith('=') else made.rstrip('=')})"

    def _word(self, word: str) -> str:
        """Replace a word, in whatever case it is written."""
        lower = word.lower()
        if len(lower) != len(word):
            return self._once(word, self._letters)
        made = self._once(lower, self._letters)
        return "".join(map(_cased, made, word))

    def _numeric(self, text: str) -> str:
        if (span := _TIMES.get(len(text))) and text.isdigit() and span[0] <= int(text) < span[1]:
            return self._once(text, lambda _: self._time(text, *span))
        found = _NUMBER.fullmatch(text)
        assert found is not None
        sign, whole, point, fraction, e, esign, exponent = (part or "" for part in found.groups())
        made = "0" if whole == "0" and point else self._once(whole, self._digits)
        made += self._once(f".{fraction}", self._fraction) if point else ""
        return sign + made + e + esign + "".join(self._random.choices("12", k=len(exponent)))

    def _once(self, text: str, make: Callable[[str], str]) -> str:
        """Return what replaces a text; made once, and like no original as far as chance allows."""
        made = self._known.get(text)
        if made is None:
            made = self._known[text] = self._fresh(text, make)
        return made

    def _fresh(self, text: str, make: Callable[[str], str]) -> str:
        best = text
        for _ in range(_TRIES):
            made = make(text)
            if made.lower() in self._originals or made == text:
                continue
            best = made
            if not self._holds_original(made.lower()):
                return made
        return best if best != text else make(text)

    def _holds_original(self, made: str) -> bool:
        return any(
            made[start : start + length] in self._short
            for length in self._lengths
            for start in range(len(made) - length + 1)
        )

    def _letters(self, text: str) -> str:
        if text.isdigit() and text.isascii():
            return self._digits(text)
        return "".join(map(self._letter, text))

    def _letter(self, letter: str) -> str:
        if letter in _LOWER:
            return self._random.choice(_LOWER)
        if letter in _UPPER:
            return self._random.choice(_UPPER)
        if letter in _DIGITS:
            return self._random.choice(_DIGITS)
        if letter.isascii() or not (letter.isalnum() or "\udc80" <= letter <= "\udcff"):
            return letter
        return self._random.choice(_like(letter))

    def _signs(self, text: str) -> str:
        return "".join(
            sign if sign.isspace() else self._random.choice(_SIGNS if sign.isascii() else _like(sign)) for sign in text
        )

    def _digits(self, text: str) -> str:
        """Return as many digits; zeros in front stay, unless there is nothing behind them."""
        zeros = len(text) - len(text.lstrip("0"))
        if zeros == len(text):
            zeros = 0
        first = self._random.choice(_DIGITS[1:])
        return "0" * zeros + first + "".join(self._random.choices(_DIGITS, k=len(text) - zeros - 1))

    def _fraction(self, text: str) -> str:
        return "." + "".join(self._random.choices(_DIGITS, k=len(text) - 1))

    def _time(self, text: str, first: int, end: int) -> str:
        """Return another time; the zeros at its end say how exact it is, and stay where they leave a choice."""
        step = 10 ** min(len(text) - len(text.rstrip("0")), len(text) - _LEADING)
        return str(self._random.randrange(first // step, end // step) * step)

    def _guid(self, text: str) -> str:
        made = self._once(text.lower(), lambda lower: "".join(map(self._hex, lower)))
        return "".join(map(_cased, made, text))

    def _hex(self, letter: str) -> str:
        if letter in _DIGITS:
            return self._random.choice(_DIGITS)
        return self._random.choice(_HEX) if letter.isalpha() else letter

    def _moment(self) -> datetime:
        return datetime(2012, 1, 1, tzinfo=UTC) + timedelta(seconds=self._random.randrange(20 * 365 * 86_400))

    def _iso(self, text: str) -> str:
        found, at = _ISO.fullmatch(text), self._moment()
        assert found is not None
        break_, colon, point, fraction, zone = found.groups()
        made = f"{at:%Y-%m-%d}"
        if break_:
            made += f"{break_}{at:%H:%M}" + (f":{at:%S}" if colon else "")
            made += point + "".join(self._random.choices(_DIGITS, k=len(fraction))) if point else ""
        return made + (zone or "")

    def _day(self, text: str) -> str:
        found, at = _DAY.fullmatch(text), self._moment()
        assert found is not None
        first, second = (self._random.choice(_PARTS_OF_DATES[len(part)]) for part in (found[1], found[3]))
        return f"{first}{found[2]}{second}{found[2]}{at.year}"

    def _millis(self, text: str) -> str:
        found = _MILLIS.fullmatch(text)
        assert found is not None
        return found[1] + self._numeric(found[2]) + (found[3] or "") + found[4]


def _cased(letter: str, like: str) -> str:
    upper = letter.upper()
    return upper if like.isupper() and len(upper) == 1 else letter


@lru_cache(maxsize=4096)
def _like(letter: str) -> str:
    """Return letters of the same kind from the same part of the alphabet, without this one where there are others."""
    category, code = unicodedata.category(letter), ord(letter)
    for size in (64, 512, 4096):
        block = range(code - code % size, code - code % size + size)
        found = [
            chr(other) for other in block if other <= sys.maxunicode and unicodedata.category(chr(other)) == category
        ]
        if others := [other for other in found if other != letter]:
            return "".join(others)
    return letter
