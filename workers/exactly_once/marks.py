"""What a delivery leaves a marker of: each event that it stands for, in the generation of it that was delivered."""

from typing import NamedTuple

from workers.delivery import Delivery

__all__ = ["Mark", "marks_of"]


class Mark(NamedTuple):
    """An event of a stream, `publisher/type`, by its id there, and which delivery of it: see `Delivery.generation`."""

    stream: str
    event_id: str
    generation: str


def marks_of(delivery: Delivery) -> list[Mark]:
    """Return the marks of all events that a delivery stands for, each once.

    They are in the same order for all: two transactions that write the same never wait for each other in a circle.
    """
    event = delivery.event
    found = {Mark(event.stream, event.id, delivery.generation)}
    for merged in delivery.merged:
        found.add(Mark(f"{merged.publisher or event.publisher}/{merged.type}", merged.id, merged.generation))
    return sorted(found)
