"""An answer as it arrives: how much of it is kept, how much is read, and what its headers say."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Self

import aiohttp
from aiohttp.connector import Connection

__all__ = ["Answer", "named_wait", "retry_after"]

_KEPT: Final = 1024
_READ: Final = 65_536  # bytes of a body that are read so that its connection can be used again
_LONGEST_WAIT: Final = 365 * 86_400.0


class Answer(aiohttp.ClientResponse):
    """What aiohttp makes of an answer, with the address it came from and the beginning of its body."""

    address = ""

    async def start(self, connection: Connection) -> Self:
        """Wait for the status and the headers."""
        self.kept = bytearray()
        if connection.transport is not None:
            self.address = str(connection.transport.get_extra_info("peername", ("",))[0])
        await super().start(connection)
        return self

    async def keep(self) -> None:
        """Read the body and keep its beginning; a long one ends the connection, and one that breaks is kept so far."""
        seen = 0
        with suppress(aiohttp.ClientError, ConnectionError):
            async for chunk in self.content.iter_any():
                self.kept += chunk[: _KEPT - len(self.kept)]
                seen += len(chunk)
                if seen > _READ:
                    self.close()
                    return


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return in how many seconds the receiver asks to be called again; None where it does not say, or not clearly.

    now: seconds since 1970.
    """
    return named_wait(headers.get("Retry-After", ""), now)


def named_wait(text: str, now: float) -> float | None:
    """Return how many seconds after `now` a Retry-After names, as a number or a date; None where it cannot be read."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)  # dates of HTTP are, also in the forms that do not say so
        return min(max(0.0, at.timestamp() - now), _LONGEST_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None
