"""Ports that stay ours while nobody listens on them, such as those of a process that was killed.

A port that the system hands out could be taken by anyone's outgoing connection before the next process listens on it.
So these are below the range it hands out from, and each is reserved by holding the UDP port of the same number.
"""

import contextlib
import socket
from pathlib import Path
from random import SystemRandom

__all__ = ["Ports"]

_FIRST = 10_000
_LAST = 32_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports:
    """Ports of the loopback, reserved until `release`."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def reserve(self) -> int:
        """Return a port that nobody uses, and that no other `Ports` gives out."""
        random = SystemRandom()
        while True:
            port = random.randint(_FIRST, _last())
            holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with contextlib.suppress(OSError), socket.socket() as probe:
                holder.bind(("127.0.0.1", port))
                probe.bind(("127.0.0.1", port))
                self._held.append(holder)
                return port
            holder.close()

    def release(self) -> None:
        """Let others have them."""
        while self._held:
            self._held.pop().close()


def _last() -> int:
    """Return the last port below those that the system hands out."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lowest = int(_RANGE.read_text().split()[0])
        return min(_LAST, lowest - 1) if lowest > _FIRST else _LAST
    return _LAST
