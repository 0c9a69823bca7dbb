"""Why a request to a host that an operator named has no answer. No message repeats a body, a query or a header.

The classes are those that a breaker takes for a target that is down (`ConnectionError`, `TimeoutError`), except
AddressRefused, which says nothing of the target.
"""

from config.errors import RouterError

__all__ = ["AddressRefused", "OutgoingError", "TimedOut", "Unreachable"]


class OutgoingError(RouterError):
    """A request was not answered; whether its receiver got it is unknown unless the class says so."""


class AddressRefused(OutgoingError):
    """The host leads to an address that must not be reached: nothing was connected, nothing was sent."""


class Unreachable(OutgoingError, ConnectionError):
    """No name, no connection, no encryption that can be trusted, or no answer that is HTTP.

    connected: whether there was a connection, so that the receiver may have got the request.
    """

    def __init__(self, message: str, *, connected: bool = True) -> None:
        super().__init__(message)
        self.connected = connected


class TimedOut(OutgoingError, TimeoutError):
    """No answer began within the time for the whole exchange."""
