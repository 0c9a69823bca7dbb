"""Which client address a request comes from, and whether it may come from there.

`X-Forwarded-For` is written by whoever sends the request, so only the entries that trusted proxies added count: the
list is read from its end, and the first address that is not a trusted proxy is the client.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["AllowList"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AllowList:
    """Networks that may post, and proxies that are believed; an empty list of networks allows everyone."""

    def __init__(self, allowed: Iterable[Network], trusted_proxies: Iterable[Network]) -> None:
        self._allowed = tuple(allowed)
        self._proxies = tuple(trusted_proxies)

    @property
    def open(self) -> bool:
        """Whether every address is allowed, so that none needs looking at."""
        return not self._allowed

    def client(self, peer: str, forwarded: Sequence[str]) -> Address | None:
        """Return the client's address, given the connection's peer and `X-Forwarded-For`; None if unreadable."""
        hops = [hop.strip() for value in forwarded for hop in value.split(",")]
        address = _parse(peer)
        while hops and address is not None and _within(address, self._proxies):
            address = _parse(hops.pop())
        return address

    def allows(self, peer: str, forwarded: Sequence[str] = ()) -> bool:
        """Return whether a request from `peer` may be answered."""
        if self.open:
            return True
        address = self.client(peer, forwarded)
        return address is not None and _within(address, self._allowed)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
