"""What `up` says on a terminal once everything runs: where to send, with which secret, and how to go on."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence

import aiohttp

from config.settings import Settings
from router.console.access.token import console_url, sign_in_url
from router.embedded.access import EMBEDDED
from router.events.catalogue import Catalogue
from router.process.ops_ports import TIMEOUT, addressable, ops_ports

_KNOWN = "customer_changed"
_LOOK = 0.1  # seconds between two looks at what starts
_READY = 200


class Banner:
    """The banner of one `up`; made before it starts, while each port that is taken is another program's."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._ops = [port for port in ops_ports(settings) if _is_free(settings.ops.host, port.port)]

    async def show(self, say: Callable[[str], None]) -> None:
        """Wait until the processes are ready, as far as they can be asked, and say it."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            for port in self._ops:
                while not await _is_ready(session, f"{port.url}/readyz"):  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(_LOOK)
        say("\n".join(["", *self._lines(), ""]))

    def _sample(self) -> str:
        """Name an event to send: one that everybody knows, if it is there."""
        types = [(slug, event.type) for slug, known in self._catalogue.publishers.items() for event in known.events]
        slug, type_ = next((pair for pair in types if pair[1] == _KNOWN), types[0])
        return f"{slug} {type_}"

    def _lines(self) -> Iterator[str]:
        ingress = self._settings.ingress
        base = f"http://{addressable(ingress.host)}:{ingress.port}"
        slugs = list(self._catalogue.publishers)
        yield "event-router is running."
        yield ""
        urls = [f"{base}/webhooks/{slug}" for slug in slugs]
        yield from _column("webhooks", urls if ingress.port else ["see the port in the log"])
        is_embedded = self._settings.redis.url == EMBEDDED
        if is_embedded and any(not self._settings.secrets_for(slug) for slug in slugs):
            yield from _column("secrets", [f"{self._settings.data_dir.absolute() / 'secrets'}/ has those made for you"])
        where = (
            "in this folder" if is_embedded else "with the same ROUTER_… variables"
        )  # the store and the secrets are there
        yield from _column("try it", [f"event-router send {self._sample()}", f"in a second terminal, {where}"])
        ports = [f"{port.url}/readyz and /metrics of {port.name}" for port in self._ops]
        yield from _column("operations", ports or ["see ops_port in the log"])
        yield from _column("console", list(self._console()))
        yield from _column("stop", ["Ctrl-C; the data is kept"])

    def _console(self) -> Iterator[str]:
        port = next((port.port for port in self._ops if port.name == "console"), None)
        if port is None:
            yield "see ops_port in the log"
        elif self._settings.ops.token is not None:
            yield f"{console_url(self._settings, port)} asks for the operations token"
        else:
            yield console_url(self._settings, port)
            if link := sign_in_url(self._settings, port):
                yield f"{link} signs in once"


def _column(name: str, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"  {'' if number else name:<12}{line}"


def _is_free(host: str, port: int) -> bool:
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except (OSError, OverflowError):
        return False


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == _READY
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
