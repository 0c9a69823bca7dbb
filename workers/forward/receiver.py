"""The connections to one receiver, which others may replace while exchanges are under way."""

import asyncio

from workers.outgoing import Exchange, Outgoing, Target

__all__ = ["Receiver"]


class _Pool:
    """Connections to one target, and how many exchanges use them."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.outgoing = outgoing
        self.users = 0
        self.unused = asyncio.Event()
        self.unused.set()

    async def post(self, body: bytes, headers: dict[str, str]) -> Exchange:
        self.users += 1
        self.unused.clear()
        try:
            return await self.outgoing.post(body, headers)
        finally:
            self.users -= 1
            if not self.users:
                self.unused.set()


class Receiver:
    """Posts to a target; a new one is taken for all that begins from then on."""

    def __init__(self) -> None:
        self._now: _Pool | None = None
        self._closing = set[asyncio.Task[None]]()

    async def take(self, target: Target) -> None:
        """Have what begins from now on go to this target; the connections of the one before end with their exchanges.

        Raises ConfigError, and changes nothing, for a target that can never be reached.
        """
        new = _Pool(await Outgoing(target).__aenter__())
        before, self._now = self._now, new
        if before is not None:
            closing = asyncio.create_task(_close(before))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def post(self, body: bytes, headers: dict[str, str]) -> Exchange:
        """Send a body once and return the answer; raises OutgoingError."""
        assert self._now is not None
        return await self._now.post(body, headers)

    async def aclose(self) -> None:
        """End all connections, when no exchange uses them any more."""
        if self._now is not None:
            await _close(self._now)
            self._now = None
        if self._closing:
            await asyncio.wait(self._closing)


async def _close(pool: _Pool) -> None:
    await pool.unused.wait()
    await pool.outgoing.__aexit__(None, None, None)
