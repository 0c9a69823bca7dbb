"""Who may ask the ERP now: what a limit has to answer, and the one that lets everyone."""

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Quota", "Unlimited"]


class Quota(Protocol):
    """What is asked before each request, and hears of each answer."""

    async def acquire(self, company: str) -> None:
        """Return where a request for the company may go; else raise, so that the delivery is deferred."""

    async def learn(self, company: str, headers: Mapping[str, str], status: int) -> None:
        """Take note of an answer that a request for the company got."""


class Unlimited:
    """Lets every request go."""

    async def acquire(self, company: str) -> None:
        """Let it go."""

    async def learn(self, company: str, headers: Mapping[str, str], status: int) -> None:
        """Ignore it."""
