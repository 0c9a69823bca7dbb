"""Handing a message over: what a channel is, and what comes of it."""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from config.errors import RouterError
from workers.notify.message import Message

__all__ = ["Channel", "SendFailed", "Sent"]


@dataclass(frozen=True, slots=True)
class Sent:
    """How a message was taken: what was sent, what the other side answered, where that is, and how long it took.

    request: headers and body, without what is secret. seconds: of the whole exchange.
    """

    request: str
    answer: str
    address: str
    seconds: float
    warning: str = ""


class SendFailed(RouterError):
    """A message was not taken.

    retry_after: in how many seconds the other side asks to be called again. refused: whether it refused this message,
    and might take another. answered: whether it answered at all. request: what was sent, as in Sent.
    """

    named = False

    def __init__(
        self,
        text: str,
        *,
        retry_after: float | None = None,
        refused: bool = False,
        answered: bool = False,
        request: str = "",
    ) -> None:
        super().__init__(text)
        self.answered = answered
        self.retry_after = retry_after
        self.refused = refused
        self.request = request


class Channel(Protocol):
    """A way to people, open for as long as its context is."""

    async def __aenter__(self) -> Self:
        """Open it; nothing is connected yet."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close it."""

    async def send(self, message: Message) -> Sent:
        """Hand a message over; raises SendFailed, and nothing else that the other side could cause."""
