"""Who may see more of the operations port than whether the process lives: who sends the token (RFC 6750)."""

import hmac
import ipaddress
from collections.abc import Mapping

from pydantic import SecretStr

from config.settings import OpsSettings

CHALLENGE: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="event-router"'}
"""The header that goes with a 401."""

_SCHEME = "bearer"
_LONGEST = 1024  # characters of a header that are looked at


class OpsToken:
    """Judges the `Authorization` of requests; without a token everyone is let in."""

    def __init__(self, token: SecretStr | None) -> None:
        self._expected = token.get_secret_value().encode() if token is not None else None

    @property
    def is_set(self) -> bool:
        """Whether anything is asked for."""
        return self._expected is not None

    def admits(self, authorization: str | None) -> bool:
        """Tell whether a request with this header is let in; compares in constant time."""
        if self._expected is None:
            return True
        scheme, _, given = (authorization or "")[:_LONGEST].partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "surrogatepass"), self._expected)
        return right and scheme.lower() == _SCHEME


def bearer(settings: OpsSettings) -> dict[str, str]:
    """Return the headers with which these settings' operations ports are asked."""
    return {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token is not None else {}


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach what listens there; a name other than localhost may mean any address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
