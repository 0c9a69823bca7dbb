"""Loading the PEM files of an operator into what encrypts connections."""

import os
import ssl
from pathlib import Path

from config.files import check_regular

__all__ = ["load_certificates", "reason_of", "stamp"]

File = str | Path | None


def load_certificates(context: ssl.SSLContext, authorities: File, certificate: File, key: File) -> None:
    """Trust these authorities too, and show this certificate with its key; raises OSError where a file is of no use."""
    for file in (file for file in (authorities, certificate, key) if file):
        check_regular(file, os.stat(file))  # noqa: PTH116 - a store does it for each connection that finds files renewed
    if authorities:
        context.load_verify_locations(authorities)
    if certificate:
        # The empty password is refused by an encrypted key, where none at all would be asked for on the terminal.
        context.load_cert_chain(certificate, key, password="")


def stamp(file: File) -> tuple[int, int] | None:
    """Return what is another once a file was renewed; None without a file. Raises OSError."""
    if not file:
        return None
    found = os.stat(file)  # noqa: PTH116 - as above
    return found.st_mtime_ns, found.st_ino


def reason_of(error: OSError) -> object:
    """Say in a few words why a file or an encryption is of no use."""
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or error
