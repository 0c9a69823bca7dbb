"""The fake ERP: what it holds, and how it is made to misbehave. `serving` beside this module serves it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from workers.erp.fake.background import Background
from workers.erp.fake.books import Books
from workers.erp.fake.gate import Gate

__all__ = ["FakeErp", "Options", "Seen"]

_REMEMBERED = 100_000


def _ignore(method: str, path: str) -> None:
    """Change nothing."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the fake ERP behaves; times in seconds.

    quota: requests of each company and client in a `window`. delay: how long each answer takes. invent: whether a
    record that was never there is made when it is read. clients: the secret of each client that gets a token; empty
    for any. page_size: the most records of one page.
    """

    token_seconds: float = 3600
    quota: int = 5000
    window: int = 3600
    delay: float = 0
    invent: bool = False
    clients: dict[str, str] = field(default_factory=dict)
    page_size: int = 5000

    def knows(self, client: str, secret: str) -> bool:
        """Tell whether a client gets tokens for its secret."""
        return bool(secret) and (not self.clients or self.clients.get(client) == secret)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that came; `tenant` is empty where it had no good token."""

    method: str
    path: str
    tenant: str
    status: int


class FakeErp:
    """An ERP in memory, with a tenant of each name that is asked for; `clock` in epoch seconds.

    `failing` is the status that every request is answered with, None for none. `gate_open` holds all answers back while
    it is not set. `redirects` are paths that answer with a link to elsewhere. `on_request` is called with the method
    and path of a request before it is answered: what it changes is changed under the reader.
    """

    def __init__(self, options: Options | None = None, clock: Callable[[], float] = time.time) -> None:
        self.options = options or Options()
        self.clock = clock
        self.gate = Gate(clock, self.options.token_seconds, self.options.quota, self.options.window)
        self.background = Background(clock)
        self.in_background = False
        self.failing: int | None = None
        self.gate_open = asyncio.Event()
        self.gate_open.set()
        self.redirects: dict[str, str] = {}
        self.on_request: Callable[[str, str], object] = _ignore
        self.seen: deque[Seen] = deque(maxlen=_REMEMBERED)
        self.token_requests: deque[str] = deque(maxlen=_REMEMBERED)
        self.feedback: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_REMEMBERED)
        self.url = ""
        self._books: dict[str, Books] = {}

    def books(self, tenant: str) -> Books:
        """Return the records of a tenant."""
        return self._books.setdefault(tenant, Books(self.clock))

    def refused(self, tenant: str) -> int:
        """Return how many requests of a tenant were answered with 429."""
        return sum(seen.status == HTTPStatus.TOO_MANY_REQUESTS for seen in self.seen if seen.tenant == tenant)

    @property
    def base_url(self) -> str:
        """What `base_url` of the settings is for this ERP."""
        return f"{self.url}/"

    @property
    def token_url(self) -> str:
        """What `token_url` of the settings is for this ERP."""
        return f"{self.url}/connect/token"
