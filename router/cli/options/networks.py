"""The option --allow-private: private networks that something may be posted to."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

__all__ = ["as_option", "networks"]


def networks(texts: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks in several texts, each of which may list some; raises ValueError for what is none."""
    parts = (part.strip() for text in texts for part in text.split(","))
    return tuple(dict.fromkeys(_network(part) for part in parts if part))


def as_option(refusal: str) -> str:
    """Return why an address is refused, as it is read where an option allows it, and not the settings."""
    return refusal.replace("in allow_private", "with --allow-private")


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; write it as 192.168.1.0/24") from None
