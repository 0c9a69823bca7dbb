"""Answers that are made in the background, kept for 24 hours."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.erp.fake.books import stamp

__all__ = ["KEPT", "Background", "Operation"]

KEPT = 24 * 3600.0
"""Seconds that an answer is kept."""


@dataclass(slots=True)
class Operation:
    """One request in the background; times in epoch seconds, `finished` is None while it is under way."""

    id: str
    tenant: str
    received: float
    reference: str | None
    finished: float | None = None
    status: int | None = None
    content: Any = None
    error: str | None = None

    def state(self, base: str) -> dict[str, Any]:
        """Return what the ERP says of it."""
        where = f"{base}v1/background/{self.id}"
        done = self.finished is not None
        return {
            "id": self.id,
            "status": ("Failed" if self.error else "Finished") if done else "Started",
            "statusCode": self.status,
            "receivedUtc": stamp(self.received),
            "finishedUtc": stamp(self.finished) if self.finished is not None else None,
            "errorMessage": self.error,
            "reference": self.reference,
            "hasResponseContent": self.content is not None,
            "stateLocation": where,
            "contentLocation": f"{where}/content" if self.content is not None else None,
        }


class Background:
    """The requests that are worked on in the background; `clock` in epoch seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.operations: dict[str, Operation] = {}

    def start(self, tenant: str, reference: str | None = None) -> Operation:
        """Take a request on."""
        operation = Operation(str(uuid.uuid4()), tenant, self._clock(), reference)
        self.operations[operation.id] = operation
        return operation

    def finish(self, id_: str, status: int = 200, content: Any = None, error: str | None = None) -> None:
        """End one, with what it has come to."""
        operation = self.operations[id_]
        operation.finished, operation.status = self._clock(), status
        operation.content, operation.error = content, error

    def find(self, id_: str, tenant: str) -> Operation | None:
        """Return one of a tenant; None where there is none, or no longer."""
        found = self.operations.get(id_)
        if found is None or found.tenant != tenant or self._clock() >= found.received + KEPT:
            return None
        return found
