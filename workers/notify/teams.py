"""A message as Microsoft Teams takes it: an Adaptive Card for the webhook of a workflow.

The Workflows app made these webhooks in place of the connectors of Office 365, which are retired, and it takes cards
alone. Texts are runs of a RichTextBlock, which show what they hold: the text of a TextBlock would be read as Markdown.
"""

import json
from typing import Any, Final

from workers.notify.message import ALL, Item, Message

__all__ = ["card_of"]

_FALLBACK: Final = f"Incidents of the event router: {ALL}"
"""What a client shows that knows no such cards; it reads Markdown, so there is no text of an incident in it."""
_LARGEST: Final = 24_000
"""Bytes of a message; Teams refuses those above 28 KB."""


def card_of(message: Message) -> bytes:
    """Return the body to post, with as many incidents as one message may hold."""
    while len(body := _body(message)) > _LARGEST and message.items:
        message = message.shorter()
    return body


def _body(message: Message) -> bytes:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": _FALLBACK,
        "msteams": {"width": "Full"},
        "body": [
            _text(message.title, weight="Bolder", size="Medium"),
            *map(_container, message.items),
            *({**_text(text), "separator": True} for text in message.notes),
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return json.dumps({"type": "message", "attachments": [attachment]}, ensure_ascii=False).encode()


def _container(item: Item) -> dict[str, Any]:
    return {
        "type": "Container",
        "separator": True,
        "style": "good" if item.is_over else "attention",
        "items": [
            _text(item.title, weight="Bolder"),
            _text(item.what),
            _text(item.when, isSubtle=True),
            *(() if item.is_over else _advice(item)),
        ],
    }


def _advice(item: Item) -> tuple[dict[str, Any], ...]:
    return _text(f"What to do: {item.do}"), _text(item.command, fontType="Monospace")


def _text(text: str, **how: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **how}]}
