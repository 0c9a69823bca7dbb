"""The terms of a breaker: what of its definition the script and a worker alone need."""

from typing import NamedTuple

__all__ = ["Terms"]


class Terms(NamedTuple):
    """The name of a breaker, how many failures in a row open it, and the seconds between two probes."""

    name: str
    failures: int
    interval: float
