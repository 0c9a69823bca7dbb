"""A message as Slack takes it: blocks for an incoming webhook.

What comes from outside is written so that Slack reads none of it: `&`, `<` and `>` are escaped, which begin links and
call everyone, and the signs that make a text bold or code are replaced by ones that look alike.
"""

import json
import re
from typing import Any, Final

from workers.notify.message import Item, Message

__all__ = ["blocks_of"]

_SECTION: Final = 3000
"""Most characters of a section."""
_LARGEST: Final = 12_000
"""Characters of all blocks; Slack refuses a message with a few more, whatever each may have."""
_ESCAPED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "`": "\N{MODIFIER LETTER GRAVE ACCENT}"}
_CODE: Final = str.maketrans(_ESCAPED)
_PLAIN: Final = str.maketrans(_ESCAPED | {"*": "\N{ASTERISK OPERATOR}", "~": "\N{TILDE OPERATOR}"})
_ITALIC: Final = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def blocks_of(message: Message) -> bytes:
    """Return the body to post, with as many incidents as one message may hold."""
    while len(body := _body(message)) > _LARGEST and message.items:
        message = message.shorter()
    return body.encode()


def _body(message: Message) -> str:
    title = _plain(message.title)
    blocks = [_section(f"*{title}*"), *map(_item, message.items), *map(_section, map(_plain, message.notes))]
    return json.dumps({"text": title, "blocks": blocks}, ensure_ascii=False)


def _item(item: Item) -> dict[str, Any]:
    sign = ":large_green_circle:" if item.is_over else ":red_circle:"
    lines = [f"{sign} *{_plain(item.title)}*", _plain(item.what), _plain(item.when)]
    if not item.is_over:
        lines += [f"What to do: {_plain(item.do)}", f"```{item.command.translate(_CODE)}```"]
    return _section("\n".join(lines))


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _SECTION), "verbatim": True}}


def _plain(text: str) -> str:
    return _ITALIC.sub("\N{MODIFIER LETTER LOW MACRON}", text.translate(_PLAIN))


def _cut(text: str, most: int) -> str:
    """Return a text of bounded length, without a part of an escaped sign at its end."""
    if len(text) <= most:
        return text
    head = text[: most - 1]
    start = head.rfind("&", len(head) - 5)
    return f"{head[:start] if start >= 0 and ';' not in head[start:] else head}…"
