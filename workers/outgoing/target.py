"""Where something is sent, and what came back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workers.outgoing.addresses import Network

__all__ = ["Exchange", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send, and what may be reached for it.

    timeout: seconds for one exchange, from the question for the name to the end of the answer. allow_private: networks
    whose addresses may be reached though they are not public, and over http:// too. ca_file: the only authorities that
    are trusted, instead of the system's; client_cert and client_key: what is shown to a receiver that asks for it; all
    are PEM files. connections: how many there are at one time; more exchanges wait, which is not part of their timeout.
    """

    url: str = field(repr=False)
    timeout: float = 30.0
    allow_private: tuple[Network, ...] = ()
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    connections: int = 32


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came back. A redirection is an answer like any other: nobody follows it.

    answer: the first 1,024 bytes of the body as they came, fewer where the connection broke. retry_after: in how many
    seconds the receiver asks to be called again. seconds: how long it took. address: the one that was connected to.
    """

    status: int
    answer: bytes = field(repr=False)
    retry_after: float | None
    seconds: float
    address: str
    headers: Mapping[str, str] = field(repr=False)
