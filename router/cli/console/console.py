"""What all pages of the console share."""

from dataclasses import dataclass, field

from aiohttp import web

from config.settings import Settings
from router.catalogue import Catalogue
from router.cli.console.guesses import Guesses
from router.cli.console.jobs import Jobs
from router.cli.console.sessions import Session, Sessions
from router.cli.console.token import LinkReader
from router.cli.console.watch import Watch
from router.store import Store

__all__ = ["Console"]


@dataclass(frozen=True)
class Console:
    """One console: the store it looks into, who is signed in, and what it remembers."""

    settings: Settings
    catalogue: Catalogue
    store: Store
    token: str = field(repr=False)
    links: LinkReader
    watch: Watch
    sessions: Sessions = field(default_factory=Sessions)
    guesses: Guesses = field(default_factory=Guesses)
    jobs: Jobs = field(default_factory=Jobs)

    @classmethod
    def of(cls, settings: Settings, catalogue: Catalogue, store: Store, token: str) -> "Console":
        """Make the console of a store."""
        return cls(
            settings, catalogue, store, token, LinkReader(token), Watch(store, catalogue, settings.workers.lease)
        )

    def session_of(self, request: web.Request) -> Session | None:
        """Return who sends a request; None for somebody who is not signed in."""
        return self.sessions.find(request.cookies.get(self.cookie(request), ""))

    @staticmethod
    def cookie(request: web.Request) -> str:
        """Return the name of the session's cookie: browsers share cookies between the ports of a host."""
        return f"event-router-{request.host.rpartition(':')[2] if ':' in request.host else 'console'}"
