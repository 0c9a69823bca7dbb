"""Who is signed in: sessions that this process keeps, known to the browser by a random id alone."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SESSION_AGE = 12 * 3600
"""How long a session lasts, seconds, however busy it is."""

_MOST = 100  # sessions at once: the oldest goes


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser: who it said it is, until when (seconds of the clock), and what its forms must carry."""

    actor: str
    until: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


class Sessions:
    """The sessions of one process; they end with it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, Session] = {}

    def begin(self, actor: str) -> tuple[str, Session]:
        """Begin a session; return its id, which is all that opens it, and the session."""
        for id_ in list(self._open)[: max(0, len(self._open) - _MOST + 1)]:
            del self._open[id_]
        id_, session = secrets.token_urlsafe(32), Session(actor, self._clock() + SESSION_AGE)
        self._open[id_] = session
        return id_, session

    def find(self, id_: str) -> Session | None:
        """Return the session of an id; None when there is none, or none any more."""
        session = self._open.get(id_)
        if session is not None and session.until <= self._clock():
            self.end(id_)
            return None
        return session

    def end(self, id_: str) -> None:
        """End a session, if there is one."""
        self._open.pop(id_, None)
