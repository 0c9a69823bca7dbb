"""What a failed attempt says: the class, text and traceback of its error, also where the user's code for those fails.

What errors that differ only in their details have in common is folded, and has a short name, their fingerprint.

An exception group (`asyncio.TaskGroup` raises them) only wraps: its members count, however deeply nested. Members that
fail alike count as one, because it depends on timing how many of them fail before the group is cancelled.
"""

import re
import traceback
from functools import lru_cache
from hashlib import sha256

from config.errors import RouterError

__all__ = [
    "FINGERPRINT",
    "Detailed",
    "described",
    "fingerprint_of",
    "fold_message",
    "members_of",
    "text_of",
    "trace_of",
]


class Detailed(RouterError):
    """An error with a detail that the history of an event keeps: neither logs nor traces nor fingerprints have it."""

    def __init__(self, text: str, detail: str) -> None:
        super().__init__(text)
        self.detail = detail


FINGERPRINT = 8
"""Characters of a fingerprint: four thousand million of them, for the few hundred errors of a system."""

_LENGTH = 200
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`")
_ID = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b|\b(?=\w*\d)(?:0x)?[0-9a-fA-F]{8,}\b")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def text_of(error: BaseException) -> str:
    """Return what an error says, also when its own code for that fails, or asks the process to exit."""
    try:
        return str(error)
    except BaseException as failure:  # noqa: BLE001 - the user's class can raise anything
        return f"(no text: its __str__ raised {type(failure).__qualname__})"


def trace_of(error: BaseException) -> str:
    """Return the traceback of an error, that of a group with those of its members; empty where it was not raised."""
    if error.__traceback__ is None:
        return ""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as failure:  # noqa: BLE001 - formatting runs the user's code too
        return f"(no traceback: formatting it raised {type(failure).__qualname__})"


def members_of(error: BaseException) -> list[BaseException]:
    """Return the errors that a group stands for, in its order, or the error itself where it is no group."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    members: list[BaseException] = []
    left: list[BaseException] = [error]
    while left:  # no recursion: a group may be nested more deeply than the stack is high
        taken = left.pop()
        if isinstance(taken, BaseExceptionGroup):
            left += reversed(taken.exceptions)
        else:
            members.append(taken)
    return members


def described(error: BaseException) -> tuple[str, str]:
    """Return the class and the text of an error; those of its members where it is a group."""
    kinds: dict[tuple[str, str], str] = {}
    for member in members_of(error):
        name, text = type(member).__qualname__, text_of(member)
        kinds.setdefault((name, fold_message(text)), text)
    if len(kinds) == 1:
        [((name, _), text)] = kinds.items()
        return name, text
    # In order of name: which member fails first depends on timing, and must not change the fingerprint.
    members = sorted((name, text.strip().partition("\n")[0]) for (name, _), text in kinds.items())
    return type(error).__qualname__, "; ".join(f"{name}: {text}" for name, text in members)


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
