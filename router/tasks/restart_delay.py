"""How long to wait before something that ended is started again."""

from dataclasses import dataclass

__all__ = ["RestartDelay"]


@dataclass(frozen=True)
class RestartDelay:
    """The wait before a restart, in seconds: doubling, and from the start again after a good while up."""

    first: float = 0.1
    maximum: float = 5.0
    reset_after: float = 30.0

    def following(self, delay: float | None, uptime: float) -> float:
        """Return the delay that comes after `delay` (None: there was none) for what ran `uptime` seconds."""
        if delay is None or uptime >= self.reset_after:
            return self.first
        return min(delay * 2, self.maximum)
