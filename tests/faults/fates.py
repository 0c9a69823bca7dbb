"""What the handlers do with an event, told by its id alone: so the outcome of every event is known beforehand."""

from zlib import crc32

__all__ = ["dies", "failures", "gives_up"]


def failures(id_: str) -> int:
    """Return how often the event fails with the subscription that retries before it is handled: 0 for most."""
    share = crc32(id_.encode()) % 30
    return share if share <= 2 else 0


def gives_up(id_: str) -> bool:
    """Return whether the handler makes the event a dead letter at its first sight."""
    return crc32(id_.encode()) % 41 == 0


def dies(id_: str) -> bool:
    """Return whether the event ends dead: given up, or failing at every attempt."""
    return gives_up(id_) or crc32(id_.encode()) % 43 == 0
