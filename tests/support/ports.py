"""Ports for processes that must be told theirs beforehand: chosen by the system, and held until the tests are over."""

import atexit
import socket
import sys
from collections import deque

__all__ = ["reserve"]

_HOST = "127.0.0.1"
_MOST_HELD = 200
_HIGHEST = 55_535
"""A node of a Cluster listens 10,000 above its port, too, unless it is told another."""
_held: deque[socket.socket] = deque()


def reserve(row: int = 1) -> int:
    """Return a port of the loopback, the first of so many in a row, that nobody gets but who is told its number.

    A socket is bound to it and does not listen. So the system gives the port to no connection and to nobody who asks
    for any port, and this function does not give it out again; but a server that sets SO_REUSEADDR, as ours and Redis
    do, binds it all the same, as often as it starts, and nobody else while it listens.
    """
    while True:
        sockets = [socket.socket()]
        try:
            sockets[0].bind((_HOST, 0))
            first = int(sockets[0].getsockname()[1])
            if first > _HIGHEST:
                _close(sockets)
                continue
            for port in range(first + 1, first + row):
                sockets.append(socket.socket())
                sockets[-1].bind((_HOST, port))
        except (OSError, OverflowError):  # the next one is taken, or it is too high
            _close(sockets)
            continue
        _hold(sockets)
        return first


def _hold(sockets: list[socket.socket]) -> None:
    if sys.platform != "linux":  # others let no second socket bind, whatever it sets: all they have is a good guess
        _close(sockets)
        return
    for one in sockets:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: two who reserve must not both get it
    _held.extend(sockets)
    while len(_held) > _MOST_HELD:
        _held.popleft().close()


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


@atexit.register
def _release() -> None:
    while _held:
        _held.popleft().close()
