"""What all pages of the console share."""

import re
from dataclasses import dataclass, field

from config.settings import Settings
from router.console.access.guesses import Guesses
from router.console.access.sessions import Session, Sessions
from router.console.access.token import LinkReader
from router.console.jobs import Jobs
from router.console.turns import Turns
from router.console.watch import Watch
from router.events.catalogue import Catalogue
from router.http.request import Request
from router.store.client import Store
from workers.operations.operations import Operations

_PORT = re.compile(r":([0-9]{1,5})$")


@dataclass(frozen=True)
class Console:
    """One console: the store it looks into, who is signed in, and what it remembers.

    `guesses` are wrong answers of addresses, `faults` are requests of nobody known that make no sense.
    """

    operations: Operations
    token: str = field(repr=False)
    links: LinkReader
    watch: Watch
    sessions: Sessions = field(default_factory=Sessions)
    guesses: Guesses = field(default_factory=Guesses)
    faults: Guesses = field(default_factory=Guesses)
    turns: Turns = field(default_factory=Turns)
    jobs: Jobs = field(default_factory=Jobs)

    @classmethod
    def of(cls, settings: Settings, catalogue: Catalogue, store: Store, token: str) -> "Console":
        """Make the console of a store."""
        operations = Operations(store, catalogue, settings)
        return cls(operations, token, LinkReader(store, token), Watch(operations))

    @property
    def catalogue(self) -> Catalogue:
        """The publishers and their events."""
        return self.operations.catalogue

    def session_of(self, request: Request) -> Session | None:
        """Return who sends a request; None for somebody who is not signed in."""
        return self.sessions.find(request.cookies.get(self.cookie(request), ""))

    @staticmethod
    def cookie(request: Request) -> str:
        """Return the name of the session's cookie: browsers share cookies between the ports of a host."""
        port = _PORT.search(request.header("Host"))
        return f"event-router-{port[1] if port else 'console'}"
