"""One call of a target, between entering and leaving a breaker."""

from dataclasses import dataclass

__all__ = ["Call", "Ticket"]


@dataclass(frozen=True, slots=True)
class Ticket:
    """In which turn a call went: of the breaker in the store, -1 where that was not asked, and of the worker alone."""

    turn: int
    alone: int


class Call:
    """A call that may go."""

    __slots__ = ("owner", "status", "ticket")

    def __init__(self, owner: object, ticket: Ticket) -> None:
        self.owner = owner
        self.ticket = ticket
        self.status: int | None = None

    def answered(self, status: int) -> None:
        """Say with which status of HTTP the target answered: for clients that raise no error for 5xx."""
        self.status = status
