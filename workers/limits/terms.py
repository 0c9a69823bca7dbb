"""The terms of a limit: what of its definition the script and the shares need."""

from typing import NamedTuple

__all__ = ["Terms"]


class Terms(NamedTuple):
    """The name of a limit, how many calls a window of so many seconds has (None where that is learnt), what is left."""

    name: str
    rate: int | None
    window: float
    reserve: float
