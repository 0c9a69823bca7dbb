"""A server of S3 on the loopback, with a bucket of its own for each test."""

import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

__all__ = ["S3", "running_s3"]


class S3:
    """A server, at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def bucket(self) -> str:
        """Make a bucket; return its name."""
        name = f"archive-{secrets.token_hex(6)}"
        self.ask("PUT", f"/{name}")
        return name

    def encryption(self, bucket: str, name: str) -> tuple[str | None, str | None]:
        """Return how the server encrypts an object, and with which key."""
        kept = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket].keys[name]
        return kept.encryption, kept.kms_key_id

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request that nobody signed, which the server takes."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content


@contextmanager
def running_s3() -> Iterator[S3]:
    """Yield a server that runs in a thread."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3(f"http://{host}:{port}")
    finally:
        server.stop()
