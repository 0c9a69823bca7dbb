"""The keys that end a command which takes the whole terminal."""

import asyncio
import os
import pty
import sys
from collections.abc import Iterator
from unittest import mock

import pytest
from support.waiting import eventually

from router.cli.top import keys
from router.cli.top.keys import ending_by_key

END = b"q", b"Q", b"\x04", b"\x1b", b"xq", b"x\x1b", b"\x1b[Aq", b"\x1bOPq"
GO_ON = b"x", b"xyz", b"\x1b[A", b"\x1b[1;5C", b"\x1bOP", b"\x1bq", b"\x1b[A\x1b[B", b"\x1b[24~"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield what types at the terminal of this process."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(keys, "_is_ours", lambda: True)
        yield ours
    os.close(ours)


@pytest.mark.parametrize("typed", END, ids=repr)
async def test_a_key_that_ends(terminal: int, typed: bytes) -> None:
    """It ends, also where it comes together with what was typed before it."""
    ended = asyncio.Event()
    with ending_by_key(ended):
        os.write(terminal, typed)
        await asyncio.wait_for(ended.wait(), 30)


@pytest.mark.parametrize("typed", GO_ON, ids=repr)
async def test_keys_that_do_not_end(terminal: int, typed: bytes) -> None:
    """Other keys change nothing, nor those that the terminal sends as a sequence which begins like Escape."""
    ended = asyncio.Event()
    with mock.patch.object(os, "read", wraps=os.read) as read, ending_by_key(ended):
        os.write(terminal, typed)
        await eventually(lambda: read.called)
        assert not ended.is_set()
