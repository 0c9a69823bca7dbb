"""The encryption to one target: its certificate is always verified.

Reading the authorities that a system trusts takes tens of milliseconds in which nothing else runs, so that targets with
the same files share what was read. Files that were renewed are read again for the next target that is made.
"""

import ssl
from functools import lru_cache
from pathlib import Path

from config.certificates import load_certificates, reason_of, stamp
from config.errors import ConfigError
from workers.outgoing.target import Target

__all__ = ["encryption_for"]

_Stamp = tuple[int, int] | None


def encryption_for(target: Target) -> ssl.SSLContext:
    """Return what a target is reached with; raises ConfigError for files that are of no use."""
    files = (target.ca_file, target.client_cert, target.client_key)
    if target.client_key and not target.client_cert:
        raise ConfigError(f"client_key={target.client_key} is of no use alone: add client_cert, the certificate to it")
    _try(target)
    return _context(*files, tuple(map(stamp, files)))


def _try(target: Target) -> None:
    """Load each file alone, so that a message names the one that is of no use."""
    certificate, key = target.client_cert, target.client_key
    pair = f"{certificate} with client_key={key}" if key else certificate
    for name, shown, files in (
        ("ca_file", target.ca_file, (target.ca_file, None, None)),
        ("client_cert", pair, (None, certificate, key)),
    ):
        try:
            load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), *files)
        except OSError as error:
            raise ConfigError(f"{name}={shown}: {reason_of(error)}; name readable PEM files") from error


@lru_cache(maxsize=16)
def _context(
    authorities: Path | None, certificate: Path | None, key: Path | None, _stamps: tuple[_Stamp, ...]
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authorities)
    load_certificates(context, None, certificate, key)
    return context
