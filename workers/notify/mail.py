"""A message as a mail: plain text alone, so that nothing in it is read as HTML."""

from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from workers.notify.message import Item, Message

__all__ = ["mail_of"]


def mail_of(message: Message, sender: str, to: Sequence[str], now: datetime) -> EmailMessage:
    """Return the mail; its id is that of the message, so that a mailbox shows one that comes twice as one."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = f"[event-router] {message.title}"
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_text(message))
    return mail


def _text(message: Message) -> str:
    return "\n\n".join([*map(_item, message.items), *message.notes]) + "\n"


def _item(item: Item) -> str:
    advice = "" if item.is_over else f"\nWhat to do: {item.do}\n\n    {item.command}"
    return f"{item.title}\n{item.what}\n{item.when}{advice}"
