"""Text of senders, servers and users as a terminal may get it: without what would command it, or turn its lines round.

What does not print are the controls of both kinds, DEL, the directions and other formats that Unicode has, and its ends
of lines and paragraphs.
"""

import json
from typing import Any

_KEPT = "\n\t"


def printable(text: str) -> str:
    r"""Return a text with what does not print written as `\x9b`; lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _KEPT else _written(ord(c)) for c in text)


def printable_json(text: str) -> str:
    r"""Return JSON, of one line or indented, with what does not print as JSON's own `\u009b`: it means the same."""
    return "\n".join(line if line.isprintable() else _escaped(line) for line in text.split("\n"))


def printable_values(value: Any) -> Any:
    """Return a value of a log line with its texts printable, and its names; others are shown by their repr anyway."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_values(key): printable_values(item) for key, item in value.items()}
    return value


def _written(code: int) -> str:
    if code <= 0xFF:  # noqa: PLR2004 - as Python writes them
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - likewise


def _escaped(line: str) -> str:
    escaped = "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in line)
    return escaped.replace("\x7f", "\\u007f")  # the one that json takes for printable
