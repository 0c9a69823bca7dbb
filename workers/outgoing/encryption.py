"""The encryption to one target: its certificate is always verified."""

import ssl

from config.certificates import load_certificates, reason_of
from config.errors import ConfigError
from workers.outgoing.target import Target

__all__ = ["encryption_for"]


def encryption_for(target: Target) -> ssl.SSLContext:
    """Return what a target is reached with; raises ConfigError for files that are of no use."""
    if target.client_key and not target.client_cert:
        raise ConfigError(f"client_key={target.client_key} is of no use alone: add client_cert, the certificate to it")
    try:
        context = ssl.create_default_context(cafile=target.ca_file)
        load_certificates(context, target.ca_file, None, None)
    except OSError as error:
        raise ConfigError(f"ca_file={target.ca_file}: {reason_of(error)}; name a readable PEM file") from error
    pair = f"{target.client_cert} with client_key={target.client_key}" if target.client_key else target.client_cert
    try:
        load_certificates(context, None, target.client_cert, target.client_key)
    except OSError as error:
        raise ConfigError(f"client_cert={pair}: {reason_of(error)}; name readable PEM files") from error
    return context
