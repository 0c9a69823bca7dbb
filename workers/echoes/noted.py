"""Takes note of writes to the ERP in the store, where every worker sees them; never a body."""

import secrets

from router.store.client import Store
from router.store.echoes import RecordOf, Versions
from router.store.errors import STORE_ERRORS
from router.tasks.ending import in_time
from router.telemetry import logs
from workers.erp.writes import Noted

__all__ = ["PATIENCE", "NotedWrites"]

PATIENCE = 2.0
"""Seconds that the store may take before a write or an attempt goes on without it."""

_log = logs.get("echo")


class NotedWrites:
    """Notes writes in the versions of their records."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(self, whose: tuple[str, str, str], path: str, longest: float) -> Noted:
        """Note that a write begins; where the store is away, nothing is known of it."""
        token = secrets.token_hex(8)
        try:
            call = self._versions(whose, path).begin(token, longest)
            return Noted(token, await in_time(PATIENCE, self._store.call(call)) == 1)
        except STORE_ERRORS as error:
            _log.warning("write_not_noted", error=type(error).__name__)
            return Noted(token)

    async def end(self, whose: tuple[str, str, str], path: str, noted: Noted, version: str | None, on: str) -> None:
        """Note what a write has made; where the store is away, its event will be handled."""
        try:
            await in_time(PATIENCE, self._store.call(self._versions(whose, path).end(noted.token, version, on)))
        except STORE_ERRORS as error:
            _log.warning("write_not_noted", error=type(error).__name__)

    def _versions(self, whose: tuple[str, str, str], path: str) -> Versions:
        return Versions(self._store.keys, RecordOf(*whose, path.removesuffix("/")))
