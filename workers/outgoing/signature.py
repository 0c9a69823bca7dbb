"""Signs what is sent, after Standard Webhooks, so that receivers in any language verify it with a library."""

import base64
import hmac
import secrets as randomness
from collections.abc import Sequence

from config.outgoing import signing_key

__all__ = ["new_secret", "signed"]

_PREFIX = "whsec_"


def new_secret() -> str:
    """Return a secret that nobody knows yet."""
    return _PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


def signed(secrets: Sequence[str], id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign a body: `webhook-id`, `webhook-timestamp` and `webhook-signature`.

    secrets: `whsec_…`, each of which gives one signature, so that a receiver may hold the old one or the new one while
    they are changed. timestamp: seconds since 1970. Raises ValueError for a bad secret, without any, and for an id that
    a header cannot carry as it is.
    """
    if not secrets:
        raise ValueError("there is no secret to sign with")
    if not id_ or not id_.isascii() or not id_.isprintable() or " " in id_:
        raise ValueError(f"the id {id_[:80]!r} must be of visible ASCII characters, as a header carries them")
    content = b"%s.%d.%s" % (id_.encode(), timestamp, body)
    signatures = (hmac.digest(signing_key(secret), content, "sha256") for secret in secrets)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(made).decode()}" for made in signatures),
    }
