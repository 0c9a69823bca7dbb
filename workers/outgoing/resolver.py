"""From the name of a host to the addresses that are connected to: all of an answer are judged, or none is reached.

What was judged is what is connected to: the name is not asked for again. And the guard stands where sockets are made,
so that an address is judged even if it came another way, as the one that a URL names does.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from config.outgoing import address_in
from workers.outgoing.addresses import Network, refusal
from workers.outgoing.errors import AddressRefused

__all__ = ["Guard", "JudgingResolver", "Lookup", "SystemLookup"]

Lookup = Callable[[str, int], Awaitable[Iterable[str]]]
"""Returns the addresses of a name, to be reached at a port; raises OSError."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What may be reached with one target."""

    allowed: tuple[Network, ...]
    encrypted: bool

    def check_host(self, host: str) -> None:
        """Raise AddressRefused for the host of a URL that may not be reached, whatever a resolver answers."""
        if address_in(host) is not None:
            self.check(host, host)
        elif not self.encrypted and not self.allowed:
            raise AddressRefused(
                f"{host} would be sent to in clear over http://: write https://, or name its network in allow_private"
            )

    def check(self, host: str, address: str) -> None:
        """Raise AddressRefused where an address must not be reached."""
        if why := refusal(ip_address(address), self.allowed, encrypted=self.encrypted):
            leads = address if host == address else f"{host} leads to {address}"
            raise AddressRefused(f"nothing was sent: {leads}, {why}")

    def socket(self, info: AddrInfoType) -> socket.socket:
        """Return a socket for an address that may be reached; raises OSError for any other."""
        family, kind, protocol, _, where = info
        if why := refusal(ip_address(str(where[0])), self.allowed, encrypted=self.encrypted):
            raise OSError(errno.EACCES, f"{where[0]}, {why}")
        return socket.socket(family, kind, protocol)


class JudgingResolver(AbstractResolver):
    """Resolves a name and judges every address of the answer; one that must not be reached refuses them all."""

    def __init__(self, guard: Guard, lookup: Lookup) -> None:
        self._guard = guard
        self._lookup = lookup

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - both families are asked for
    ) -> list[ResolveResult]:
        """Return the addresses of a name; raises AddressRefused, OSError."""
        addresses = list(dict.fromkeys(await self._lookup(host, port)))
        if not addresses:
            raise OSError(errno.ENOENT, "it has no address")
        for address in addresses:
            self._guard.check(host, address)
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Do nothing: the lookup is ended by what made it."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


class SystemLookup:
    """Asks the system, in a thread of its own: a name server that is slow for one target delays no other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lookup")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the addresses of a name; raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(self._thread, _addresses, host, port)
        return [str(where[0]) for *_, where in found]

    def close(self) -> None:
        """End; a question that is open is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int) -> Sequence[AddrInfoType]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
