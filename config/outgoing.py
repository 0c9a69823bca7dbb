"""Hosts that an operator names, to which something is sent: what their URLs and signing secrets must be.

A host can be written in many ways that one reader takes for a name and another for an address (`2130706433`, `0x7f.1`,
`127.0.0.1.`). Those are refused, so that everybody who reads a URL finds the same host in it.
"""

import base64
import binascii
import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

__all__ = ["address_in", "check_target_url", "signing_key"]

_NAME: Final = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
)
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)")
_BRACKETS: Final = re.compile(r"\[[0-9A-Fa-f:.]+\](?::[0-9]*)?")
_LONGEST_NAME: Final = 253
_KEY_BYTES: Final = range(24, 65)
_LONGEST_URL: Final = 8000


def check_target_url(url: str) -> str:
    """Return the URL, if something may be sent there, else raise ValueError; nothing of a refused one is repeated."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(
            "must hold no blanks and ASCII alone: write a host such as bücher.example as xn--bcher-kva.example"
        )
    if len(url) > _LONGEST_URL:
        raise ValueError(f"must have at most {_LONGEST_URL} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"must be a URL such as https://crm.example/hooks: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("must be a URL such as https://crm.example/hooks")
    if "@" in parts.netloc:
        raise ValueError("must hold no user and no password before its host: send what identifies you as a header")
    if "#" in url or "\\" in url:
        raise ValueError("must hold neither # nor \\: they would not be sent as they are")
    _check_host(parts)
    return url


def _check_host(parts: SplitResult) -> None:
    host = parts.hostname or ""
    if {"[", "]"} & set(parts.netloc):
        if not _BRACKETS.fullmatch(parts.netloc) or address_in(host) is None:
            raise ValueError(f"must have an IPv6 address without a zone between its brackets, and not {host[:80]!r}")
    elif _NUMERIC.fullmatch(host.rstrip(".")):
        if address_in(host) is None:
            raise ValueError(
                f"must have an IPv4 address of four decimal numbers, such as 192.0.2.1, and not {host[:80]!r}"
            )
    elif host.endswith("."):
        raise ValueError("must have a host without a dot at its end")
    elif len(host) > _LONGEST_NAME or not _NAME.fullmatch(host):
        raise ValueError(f"must have the name or the address of a host, and not {host[:80]!r}")


def address_in(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that the host of a URL is; None where it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def signing_key(secret: str) -> bytes:
    """Return the key that a secret of Standard Webhooks stands for: base64, `whsec_` before it or not.

    Raises ValueError, which repeats nothing of the secret.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _KEY_BYTES:
        raise ValueError(
            "must be whsec_ and 24 to 64 random bytes in base64; `openssl rand -base64 32` makes what follows whsec_"
        )
    return key
