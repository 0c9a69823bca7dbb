"""A name for a process that no other has: what a worker is called among the consumers of its groups."""

import os
import secrets
import socket


def process_name() -> str:
    """Return host, process id and a random part: a restarted process on the same host has another name."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
