"""How commands become bytes."""

from typing import Any

import pytest
from redis.asyncio.connection import Connection
from redis.exceptions import DataError

from router.store.connection_kinds import Plain


@pytest.mark.parametrize(
    "command",
    [
        ("PING",),
        ("XGROUP CREATE", "er:{p/t}:events", "sync", 0, "MKSTREAM"),
        (b"XINFO STREAM", "key"),
        ("XADD", "key", "*", "id", "ø€\U0001f600", "at", 1_760_000_000_000, "raw", b"\x00\xff\r\n$5\r\n"),
        ("ZADD", "key", 0.1, b"member", -1, 1e300),
        ("SET", "", b""),
        ("EVALSHA", "a" * 40, 1, "key", b"x" * 100_000, "y" * 7000),
    ],
)
def test_commands_are_packed_as_redis_py_packs_them(command: tuple[Any, ...]) -> None:
    """What goes over the wire is byte for byte what the library would send itself."""
    theirs = Connection().pack_command(*command)
    assert b"".join(Plain().pack_command(*command)) == b"".join(theirs)
    assert b"".join(Plain().pack_commands([command, ("PING",)])) == b"".join([*theirs, b"*1\r\n$4\r\nPING\r\n"])


def test_what_cannot_be_sent_is_said() -> None:
    """A value of another type is an error of ours, told as the library tells it."""
    with pytest.raises(DataError, match="cannot be sent"):
        Plain().pack_command("SET", "key", None)
