"""Which client address a request comes from, and whether it may come from there.

`X-Forwarded-For` is written by the sender of the request, so only the entries that trusted proxies added count: the
list is read from its end, and the first address that is not a trusted proxy is the client.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
_WRITTEN = re.compile(
    r"(?P<v4>[0-9.]+)(:[0-9]{1,5})?"  # some proxies add the port
    r"|\[(?P<bracketed>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(%[^\]]*)?\](:[0-9]{1,5})?"
    r"|(?P<v6>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(%.*)?"
)


class AllowList:
    """Networks that may post, and proxies that are believed; an empty list of networks allows everyone."""

    def __init__(self, allowed: Iterable[Network], trusted_proxies: Iterable[Network]) -> None:
        self._allowed = tuple(map(_unmapped, allowed))
        self._proxies = tuple(map(_unmapped, trusted_proxies))

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


def _unmapped(network: Network) -> Network:
    """Return a network of IPv4 addresses written as IPv6 (`::ffff:10.0.0.0/104`) as what it is."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return ip_network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _parse(text: str) -> Address | None:
    if not (written := _WRITTEN.fullmatch(text)):
        return None
    try:
        address = ip_address(next(filter(None, written.group("v4", "bracketed", "v6"))))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
