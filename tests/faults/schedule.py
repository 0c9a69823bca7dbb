"""A random schedule of faults, the same for the same seed."""

from collections.abc import Iterator
from random import Random

from faults.faults import FAULTS

__all__ = ["schedule"]


def schedule(seed: int) -> Iterator[tuple[str, Random, float]]:
    """Yield for ever the name of a fault, what it draws its own numbers from, and seconds of calm before it.

    All kinds come in a random order, then all in another, so that a short run too has made each of them.
    """
    random = Random(f"schedule/{seed}")
    while True:
        names = list(FAULTS)
        random.shuffle(names)
        for name in names:
            yield name, Random(random.getrandbits(64)), random.uniform(0.2, 0.8)
