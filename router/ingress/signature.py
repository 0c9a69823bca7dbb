"""Verifies and makes the signature of a webhook: base64 of the HMAC-SHA256 of the raw body.

The key is the portal's secret as text, not what it would be decoded from base64, which it only looks like. Nothing but
the body is signed, and the body is taken as it came: one written again from what was parsed has another signature.
"""

import hmac
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

from config.publishers import SignatureScheme

MAX_SIGNATURES: Final = 8  # of one request, which bounds what a stranger can make us compare
_HASHES: Final = {"hmac-sha256": "sha256"}


def sign(scheme: SignatureScheme, secret: bytes, body: bytes) -> str:
    """Return the value of the signature header for this body."""
    return _made(scheme, secret, body).decode("ascii")


def verify(scheme: SignatureScheme, secrets: Sequence[bytes], body: bytes, header_values: Sequence[str]) -> bool:
    """Tell whether any of the header's values, comma-separated or repeated, was made with any of the secrets.

    Empty values, which proxies add, do not count. Every pair is compared, each in constant time, so the time taken
    tells nothing of which was right or how nearly. False without a secret, without a value, and for an empty secret,
    which anybody could sign with.
    """
    parts = filter(None, map(str.strip, ",".join(header_values).split(",")))
    given = [part.encode("ascii", "replace") for part in islice(parts, MAX_SIGNATURES)]  # `?` is in no signature
    right = False
    for secret in secrets:
        if secret:
            expected = _made(scheme, secret, body)
            for one in given:
                right |= hmac.compare_digest(expected, one)
    return right


def _made(scheme: SignatureScheme, secret: bytes, body: bytes) -> bytes:
    made = _keyed(scheme.scheme, secret).copy()
    made.update(body)
    return b2a_base64(made.digest(), newline=False)


@lru_cache(maxsize=64)  # to begin with a key takes as long as to go through a small body
def _keyed(scheme: str, secret: bytes) -> hmac.HMAC:
    return hmac.new(secret, digestmod=_HASHES[scheme])
