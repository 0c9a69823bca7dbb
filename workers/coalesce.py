"""Which events of a key a later one stands for."""

from collections.abc import Collection
from dataclasses import dataclass

from config.errors import ConfigError

__all__ = ["Coalesce"]


@dataclass(frozen=True, slots=True)
class Coalesce:
    """Handle the newest of several events of a key in place of them all; times in seconds.

    quiet: a key waits until nothing more came for so long.
    within: but no longer than this after the first event.
    keep: actions whose events are never merged into others.
    most: how many events one delivery may stand for.
    """

    quiet: float
    within: float
    keep: Collection[str] = ("deleted", "status_changed", "action_triggered")
    most: int = 500

    def __post_init__(self) -> None:
        """Raise ConfigError for times that make no sense."""
        if not 0 <= self.quiet <= self.within < float("inf"):
            raise ConfigError(
                f"Coalesce takes 0 <= quiet <= within, in seconds, not quiet={self.quiet!r}, within={self.within!r}"
            )
        if self.most < 1:
            raise ConfigError(f"Coalesce takes a number from 1 as most, not {self.most!r}")
        if isinstance(self.keep, str):
            raise ConfigError(f"Coalesce takes a list of actions as keep, such as ['deleted'], not {self.keep!r}")
