"""Who is let in: tokens that end, and a quota of a fixed window for each company and client."""

import math
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Gate", "Pass", "Window"]


@dataclass(frozen=True, slots=True)
class Pass:
    """What a token is good for, and until when (epoch seconds)."""

    tenant: str
    client: str
    until: float


@dataclass(frozen=True, slots=True)
class Window:
    """How a quota stands: `limit` and `remaining` requests, and in how many seconds the window ends."""

    limit: int
    remaining: int
    reset: int
    length: int
    exceeded: bool

    def headers(self) -> Mapping[str, str]:
        """Return what every answer says of it."""
        found = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
            "X-RateLimit-Policy": f"{self.limit};w={self.length}",
        }
        return found | ({"Retry-After": str(self.reset)} if self.exceeded else {})


class Gate:
    """Gives tokens, knows them, and counts what is asked with each; `clock` in epoch seconds."""

    def __init__(self, clock: Callable[[], float], token_seconds: float, quota: int, window: int) -> None:
        self._clock = clock
        self.token_seconds = token_seconds
        self.quota = quota
        self.window = window
        self._passes: dict[str, Pass] = {}
        self._used: Counter[tuple[str, str, int]] = Counter()

    def issue(self, tenant: str, client: str) -> str:
        """Return a new token."""
        token = secrets.token_urlsafe(24)
        self._passes[token] = Pass(tenant, client, self._clock() + self.token_seconds)
        return token

    def admit(self, authorization: str) -> Pass | None:
        """Return what a header `Bearer …` is good for; None where its token is unknown or has ended."""
        kind, _, token = authorization.partition(" ")
        found = self._passes.get(token) if kind.lower() == "bearer" else None
        return found if found is not None and self._clock() < found.until else None

    def revoke(self) -> None:
        """Have no token be good any more, before its end."""
        self._passes.clear()

    def count(self, entrant: Pass) -> Window:
        """Count a request; one beyond the quota is not served."""
        now = self._clock()
        number = int(now // self.window)
        place = (entrant.tenant, entrant.client, number)
        self._used[place] += 1
        used = self._used[place]
        reset = math.ceil((number + 1) * self.window - now)
        return Window(self.quota, max(0, self.quota - used), reset, self.window, used > self.quota)
