"""Ports of the tests' processes: `tests/support/ports.py`."""

import socket

import pytest
from support.ports import reserve

HOST = "127.0.0.1"


def test_a_port_is_given_out_once() -> None:
    """No port of a row is given out again, to one who asks for a row or for one."""
    rows = [range(first, first + 3) for first in (reserve(3) for _ in range(30))]
    ports = [port for row in rows for port in row] + [reserve() for _ in range(30)]
    assert len(set(ports)) == 120


def test_nobody_takes_it_unasked() -> None:
    """The port is not free to somebody who wants it for themselves, and nobody listens on it."""
    first = reserve(2)
    for port in (first, first + 1):
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port))


def test_its_server_takes_it_again_and_again() -> None:
    """A server listens there, alone, as often as it starts; what waits meanwhile is refused and not held up."""
    first = reserve(2)
    for port in (first, first + 1) * 2:
        with socket.create_server((HOST, port)):
            with socket.create_connection((HOST, port)):
                pass
            with pytest.raises(OSError, match="in use"):
                socket.create_server((HOST, port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port))
