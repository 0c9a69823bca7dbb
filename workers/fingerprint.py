"""Folding: what errors that differ only in their details have in common, and a short name for that."""

import re
from functools import lru_cache
from hashlib import sha256

__all__ = ["FINGERPRINT", "fingerprint_of", "fold_message"]

FINGERPRINT = 8
"""Characters of a fingerprint: four thousand million of them, for the few hundred errors of a system."""

_LENGTH = 200
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`")
_ID = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b|\b(?=\w*\d)(?:0x)?[0-9a-fA-F]{8,}\b")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


@lru_cache(maxsize=4096)
def fold_message(message: str) -> str:
    """Return the first line with quoted texts as `'…'`, and ids and numbers as `#`."""
    line = message.strip().partition("\n")[0]
    return _NUMBER.sub("#", _ID.sub("#", _QUOTED.sub("'…'", line)))[:_LENGTH]


def fingerprint_of(error: str, message: str) -> str:
    """Return the fingerprint of a class of error and its message: the same wherever, whenever and however often."""
    return _digest(error, fold_message(message))


@lru_cache(maxsize=4096)
def _digest(error: str, folded: str) -> str:
    return sha256(f"{error}\n{folded}".encode(errors="backslashreplace")).hexdigest()[:FINGERPRINT]
