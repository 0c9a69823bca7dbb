"""What an ingress knows of its store by what it takes and refuses."""

import asyncio

from config.errors import described
from router.telemetry import logs

_log = logs.get("spool")


class StoreState:
    """Whether the store takes what it should.

    It is away while it does not answer at all, and failing while it does not take something: then `reason` says why.
    """

    def __init__(self) -> None:
        self.is_away = False
        self.reason = ""
        self.failed = asyncio.Event()
        """Is set while it is failing."""

    def refused(self, error: BaseException, *, away: bool = False) -> None:
        """Take note that the store does not take what it should; `away`: it does not answer at all."""
        if not self.reason:
            _log.warning("spooling_started", error=described(error))
        self.reason = described(error)
        self.is_away = self.is_away or away
        self.failed.set()

    def answered(self) -> None:
        """Take note that the store took something: the rest may be worth a try."""
        self.is_away = False

    def succeeded(self) -> None:
        """Take note that the store took everything it was given."""
        self.is_away, self.reason = False, ""
        self.failed.clear()
