"""What opens the console: the operations token, or one that is made and kept; and links that open it once."""

import hashlib
import hmac
import secrets
import time
from pathlib import Path
from urllib.parse import urlencode

from config.settings import Settings
from router.ingress.signing_secrets import kept_secret
from router.process.ops_ports import addressable
from router.store.client import Store

LINK_AGE = 900
"""How long a link is good for, seconds."""

_KEPT = 2 * LINK_AGE * 1000  # ms that a used code is remembered: longer than any console's clock takes it for good
_DIGEST = 32  # hex digits that stand for a code in the store


def token_of(settings: Settings) -> str:
    """Return `ops.token`, or where none is set the one in `data_dir`, made if it is not there.

    Raises ConfigError when it can be neither read nor made.
    """
    if settings.ops.token is not None:
        return settings.ops.token.get_secret_value()
    return kept_secret(_file(settings))


def console_url(settings: Settings, port: int) -> str:
    """Return the first page of the console on a port."""
    return f"http://{addressable(settings.ops.host)}:{port}/"


def sign_in_url(settings: Settings, port: int) -> str | None:
    """Return a link that signs in once, within a quarter of an hour; None where no console has made its token yet.

    Raises ConfigError when the token cannot be read.
    """
    if settings.ops.token is None and not _file(settings).exists():
        return None
    return f"{console_url(settings, port)}login?{urlencode({'code': make_code(token_of(settings))})}"


def make_code(token: str, now: float | None = None) -> str:
    """Return the code of a link that signs in once: when it was made (milliseconds), a random part, and a proof."""
    made = f"{int((time.time() if now is None else now) * 1000)}.{secrets.token_urlsafe(12)}"
    return f"{made}.{_proof(token, made)}"


class LinkReader:
    """Takes the codes that are made with one token, each once, whichever console of the store it is brought to."""

    def __init__(self, store: Store, token: str) -> None:
        self._store = store
        self._token = token

    async def take(self, code: str, now: float | None = None) -> bool:
        """Tell whether a code is good, and use it up; raises what a store that is away raises, and uses up nothing."""
        now = time.time() if now is None else now
        made, _, proof = code.rpartition(".")
        if not hmac.compare_digest(proof.encode(errors="replace"), _proof(self._token, made).encode()):
            return False
        at = int(made.partition(".")[0]) / 1000
        if not now - LINK_AGE <= at <= now + 1:
            return False
        key = self._store.keys.sign_in_link(hashlib.sha256(made.encode()).hexdigest()[:_DIGEST])
        return bool(await self._store.command("SET", key, b"used", "NX", "PX", _KEPT))


def _file(settings: Settings) -> Path:
    return settings.data_dir / "console" / "token"


def _proof(token: str, made: str) -> str:
    return hmac.digest(token.encode(), f"console link {made}".encode(errors="replace"), hashlib.sha256).hex()
