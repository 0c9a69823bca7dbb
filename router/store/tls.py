"""The encryption of connections, prepared once for all of them.

Reading the authorities that a system trusts takes tens of milliseconds in which nothing else runs: too much for each of
the many connections that are made again after an outage. Files that were renewed are read again.
"""

import ssl
from collections.abc import Mapping
from functools import lru_cache

from redis.asyncio.connection import RedisSSLContext

from config.certificates import load_certificates, reason_of, stamp
from config.errors import ConfigError

_File = str | None


def context_of(options: RedisSSLContext) -> ssl.SSLContext:
    """Return the context for these options, as their files are now; raises OSError when one cannot be used."""
    files = (options.ca_certs, options.certfile, options.keyfile)
    return _context(files, tuple(map(stamp, files)), options.cert_reqs, check_hostname=options.check_hostname)


def check_certificates(tls: Mapping[str, str | bool]) -> None:
    """Load the files of a URL once, so that what is wrong with one is said at start; raises ConfigError naming it."""
    authorities, certificate, key = (tls.get(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"))
    if key and not certificate:
        raise ConfigError(f"redis.url: ssl_keyfile={key} is of no use alone: add ssl_certfile, the certificate to it")
    pair = f"{certificate} with ssl_keyfile={key}" if key else certificate
    _try("ssl_ca_certs", authorities, (str(authorities), None, None) if authorities else ())
    _try("ssl_certfile", pair, (None, str(certificate), str(key) if key else None) if certificate else ())


def _try(name: str, shown: object, files: tuple[_File, ...]) -> None:
    try:
        if files:
            load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), *files)
    except OSError as error:
        raise ConfigError(
            f"redis.url: {name}={shown} cannot be used ({reason_of(error)}): name readable PEM files"
        ) from error


@lru_cache(maxsize=8)
def _context(
    files: tuple[_File, _File, _File], stamps: tuple[object, ...], verify: ssl.VerifyMode, *, check_hostname: bool
) -> ssl.SSLContext:
    del stamps  # part of the key: another time of a file is another context
    context = ssl.create_default_context()
    context.check_hostname = check_hostname
    context.verify_mode = verify
    load_certificates(context, *files)
    return context
