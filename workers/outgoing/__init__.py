"""The one way out to hosts that an operator names: judged addresses, verified encryption, bounded answers."""

from workers.outgoing.errors import AddressRefused, OutgoingError, TimedOut, Unreachable
from workers.outgoing.outgoing import Outgoing
from workers.outgoing.signature import signed
from workers.outgoing.target import Exchange, Target

__all__ = ["AddressRefused", "Exchange", "Outgoing", "OutgoingError", "Target", "TimedOut", "Unreachable", "signed"]
