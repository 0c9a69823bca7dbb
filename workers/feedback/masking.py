"""Masking: what in a text that was written for a log may be a secret, and is shown to nobody who reads a note.

A name that says so hides what follows it, the value in quotes to their end: to the end of the text where they are not
closed. After headers that hold several words, all of them are hidden.
"""

import re
from typing import Final

__all__ = ["masked"]

_MASK: Final = "…"
_NAME: Final = (
    r"secret|signature|passw(?:or)?d|passphrase|passcode|pwd|token|session|jwt|[a-z\d][_-]?key\b|\b(?:sig|otp|pin)\b"
)
_HEADER: Final = r"authori[sz]ation|cookie|credential|\bauth\b"
_SCHEME: Final = r"bearer|basic|digest|negotiate|ntlm|apikey"
_QUOTED: Final = r"""[bru]?'(?:\\.|[^'\\])*(?:'|\\?$)|[bru]?"(?:\\.|[^"\\])*(?:"|\\?$)"""
_BEFORE: Final = r"(?<![\w-])"
_IS: Final = r"""['"]?\s*(?:[=:]|%3[ad])\s*"""
_MASKS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), shown)
    for pattern, shown in (
        (r"(://)[^\s'\"]*@", rf"\1{_MASK}@"),
        (r"(://[^\s?#'\"]+\?)[^\s'\"]+", rf"\1{_MASK}"),
        (r"\beyJ[\w-]+\.[\w.-]+", _MASK),
        (r"-----BEGIN.*", _MASK),
        (rf"({_BEFORE}[\w-]*(?:{_HEADER})\w*{_IS})(?:{_QUOTED}|[(\[{{].*|[^'\"]+)", rf"\1{_MASK}"),
        (rf"\b({_SCHEME})\s+[^\s,;'\"]+", rf"\1 {_MASK}"),
        (rf"({_BEFORE}[\w-]*(?:{_NAME})[\w-]*{_IS})(?:{_QUOTED}|[^\s,;&]+)", rf"\1{_MASK}"),
        (rf"({_BEFORE}--[\w-]*(?:{_NAME})[\w-]*\s+)(?:{_QUOTED}|\S+)", rf"\1{_MASK}"),
    )
)


def masked(line: str) -> str:
    """Return a line with what may be a secret in it shown as `…`."""
    for pattern, shown in _MASKS:
        line = pattern.sub(shown, line)
    return line
