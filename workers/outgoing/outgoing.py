"""Sends a body to one target and returns what came back: one request for each call, over connections of its own.

Nothing follows a redirection or sends a body twice.
"""

import asyncio
import io
import time
from collections.abc import Callable, Mapping
from typing import Self

import aiohttp
from yarl import URL

from config.errors import ConfigError
from config.outgoing import check_target_url
from workers.outgoing.answer import Answer, retry_after
from workers.outgoing.encryption import encryption_for
from workers.outgoing.errors import AddressRefused, OutgoingError, TimedOut
from workers.outgoing.explained import explained
from workers.outgoing.resolver import Guard, JudgingResolver, Lookup, SystemLookup
from workers.outgoing.session import open_session
from workers.outgoing.target import Exchange, Target

__all__ = ["Outgoing"]

_IDLE = 4.0  # seconds that a connection is kept for the next request: many receivers close theirs after five
_NAMES_KEPT = 10  # seconds that what was judged is connected to again without a question
_AT_ONCE = 262_144  # bytes of a body that are written in one step, while nothing else runs
_OURS = {"User-Agent": "event-router", "Accept": "*/*", "Accept-Encoding": "identity"}


class Outgoing:
    """An async context manager that sends to one target; raises ConfigError for a target that can never be reached.

    lookup: what resolves names. monotonic, clock: seconds, of a clock that is never set and of the one that is.
    """

    def __init__(
        self,
        target: Target,
        *,
        lookup: Lookup | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.target = target
        self._url = _checked(target)
        self._guard = Guard(target.allow_private, encrypted=self._url.scheme == "https")
        self._check_address()
        self._encryption = encryption_for(target)
        self._lookup = lookup
        self._monotonic = monotonic
        self._clock = clock
        self._free = asyncio.Semaphore(target.connections)
        self._session: aiohttp.ClientSession | None = None
        self._system: SystemLookup | None = None

    @property
    def shown(self) -> str:
        """The URL without its query, which may hold a secret."""
        return str(self._url.with_query(None))

    async def __aenter__(self) -> Self:
        lookup = self._lookup
        if lookup is None:
            lookup = self._system = SystemLookup()
        self._session = open_session(
            aiohttp.TCPConnector(
                limit=self.target.connections,
                ttl_dns_cache=_NAMES_KEPT,
                resolver=JudgingResolver(self._guard, lookup),
                socket_factory=self._guard.socket,
                ssl=self._encryption,
                keepalive_timeout=_IDLE,
            ),
            timeout=None,  # one is over all of an exchange
            response_class=Answer,
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._system is not None:
            self._system.close()
            self._system = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Exchange:
        """Send a body once and return the answer; raises AddressRefused, Unreachable, TimedOut, all OutgoingError.

        An answer counts from its status on: whatever becomes of its body, it is returned. Waits while all connections
        are in use, which is not part of the time that an exchange may take.
        """
        async with self._free:
            return await self._exchange(body, headers)

    async def _exchange(self, body: bytes, headers: Mapping[str, str]) -> Exchange:
        began = self._monotonic()
        answer: Answer | None = None
        try:
            async with asyncio.timeout(self.target.timeout):
                answer = await self._send(body, headers)
                await answer.keep()
        except TimeoutError:
            if answer is None:
                raise TimedOut(f"{self.shown}: no answer within {self.target.timeout:g} seconds") from None
        except OutgoingError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise explained(self.shown, error) from error
        finally:
            if answer is not None:
                answer.release()
        return Exchange(
            status=answer.status,
            answer=bytes(answer.kept),
            retry_after=retry_after(answer.headers, self._clock()),
            seconds=self._monotonic() - began,
            address=answer.address,
            headers=answer.headers,
        )

    async def _send(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._session is None:
            raise RuntimeError("what sends is used within `async with`")
        data = body if len(body) <= _AT_ONCE else io.BytesIO(body)
        response = await self._session.post(self._url, data=data, headers={**_OURS, **headers}, allow_redirects=False)
        assert isinstance(response, Answer)
        return response

    def _check_address(self) -> None:
        try:
            self._guard.check_host(self._url.host or "")
        except AddressRefused as error:
            raise ConfigError(str(error)) from None


def _checked(target: Target) -> URL:
    try:
        return URL(check_target_url(target.url))
    except ValueError as error:
        raise ConfigError(f"url: {error}") from None
