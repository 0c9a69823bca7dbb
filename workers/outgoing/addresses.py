"""Which addresses may be reached: public ones, and others only within the networks that the operator names.

Those under which a cloud hands its machines their credentials are never reached, in whatever form they are written.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

__all__ = ["Address", "Network", "refusal"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PUBLIC_6: Final = IPv6Network("2000::/3")
_LOW: Final = 0xFFFF_FFFF
_TRANSLATED: Final = IPv6Network("64:ff9b:1::/48")
_SPLITS: Final = ((16, 16), (8, 24), (0, 32))
"""Bits of an IPv4 address before and behind the eight that an address of RFC 6052 leaves free: /48, /56, /64."""
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)

_KINDS: Final[Sequence[tuple[str, tuple[str, ...]]]] = (
    ("an unspecified address", ("0.0.0.0/8", "::/128")),
    ("a loopback address", ("127.0.0.0/8", "::1/128")),
    ("a private address", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("a link-local address", ("169.254.0.0/16", "fe80::/10")),
    ("an address shared within a provider's network", ("100.64.0.0/10",)),
    ("a multicast address", ("224.0.0.0/4", "ff00::/8")),
    (
        "an address for documentation",
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    ),
    (
        "an IPv4 address within IPv6",
        ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"),
    ),
    (
        "a reserved address",
        ("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4", "2001::/23", "2620:4f:8000::/48"),
    ),
)
_SPECIAL: Final = tuple((ip_network(text), kind) for kind, texts in _KINDS for text in texts)

_METADATA: Final = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google, DigitalOcean, Hetzner, OpenStack, Oracle
            "169.254.170.2",  # AWS, containers
            "169.254.170.23",  # AWS, pods
            "169.254.42.42",  # Scaleway
            "168.63.129.16",  # Azure, its host
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",  # AWS, pods
            "fd20:ce::254",  # Google
            "fd00:42::42",  # Scaleway
        ),
    )
)


def refusal(address: Address, allowed: Iterable[Network], *, encrypted: bool) -> str:
    """Say why an address must not be reached, in words that follow it; empty where it may.

    allowed: networks whose addresses are reached besides public ones, and without encryption.
    """
    address = _without_zone(address)
    carried = tuple(_carried(address))
    if any(one in _METADATA for one in (address, *carried)):
        return "where a cloud hands out the credentials of its machines: nothing is ever sent there"
    seen = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if any(_holds(network, one) for network in allowed for one in (address, seen) if one is not None):
        return ""
    if kind := _kind(address):
        return f"{kind}: is it to be reached, name its network in allow_private"
    if not encrypted:
        return "to which http:// would send in clear: write https://, or name its network in allow_private"
    return ""


def _kind(address: Address) -> str:
    """Say what an address is that is not public; empty for a public one."""
    if found := next((kind for network, kind in _SPECIAL if _holds(network, address)), ""):
        return found
    if isinstance(address, IPv6Address):
        if (int(address) >> 32) & _LOW in _ISATAP:
            return "an IPv4 address within IPv6"
        return "" if address in _PUBLIC_6 else "a reserved address"
    return "" if address.is_global else "a reserved address"


def _without_zone(address: Address) -> Address:
    """Return an address without the interface that it is reached by, with which it would equal no other."""
    return IPv6Address(int(address)) if isinstance(address, IPv6Address) else address


def _carried(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that a gateway may read out of an IPv6 address."""
    if isinstance(address, IPv6Address):
        yield IPv4Address(int(address) & _LOW)
        if address in _TRANSLATED:
            yield from _translated(int(address))
        if address.sixtofour:
            yield address.sixtofour
        if address.teredo:
            yield from address.teredo


def _translated(number: int) -> Iterator[IPv4Address]:
    """Yield what stands behind a prefix of 48, 56 and 64 bits."""
    for before, behind in _SPLITS:
        head = (number >> 64) & ((1 << before) - 1)
        tail = (number >> (56 - behind)) & ((1 << behind) - 1)
        yield IPv4Address(head << behind | tail)


def _holds(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network
