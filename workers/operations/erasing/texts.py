"""Texts that people wrote, and names that they gave: in the audit, and in the pauses of subscriptions.

A line stays, since it says what was done, by whom and when; the id in it becomes `erased`.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from router.store.reading import Span, forward
from workers.operations.audit import CHANGED
from workers.operations.erasing.compacting import Compacting
from workers.operations.erasing.found import Found, Ground, Place
from workers.operations.erasing.masking import masked_text, without_ids

__all__ = ["Texts", "text_places"]

_SELECTOR: Final = b"selector"


class Texts(Place):
    """A stream of lines; what is found in it is masked all at once, when it is written again: see `Compacting`."""

    def __init__(self, ground: Ground, name: str, key: str) -> None:
        super().__init__(ground)
        self.name = name
        self.key = key

    async def found(self) -> AsyncIterator[Found]:
        """Yield the oldest first."""
        async for entry_id, fields in forward(self.store, self.key, Span()):
            if (masked := _masked(self.ground, fields)) is not None:
                yield Found(place=self, where=self.key, id=entry_id.decode(), content=fields, payload=masked)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Count them: `rewrite` masks them."""
        return Counter({CHANGED: len(items)})

    async def rewrite(self, compacting: Compacting) -> bool:
        """Write the lines again, if any is to be masked; return whether it is done."""
        replaced = {found.id: (found.content, found.payload) async for found in self.found()}
        return not replaced or await compacting.compact(self.key, replaced)


def text_places(ground: Ground) -> list[Texts]:
    """Return the places of all texts."""
    keys = ground.store.keys
    pauses = [Texts(ground, "pauses", keys.pause(name)) for name in ground.subscriptions]
    return [*pauses, Texts(ground, "audit", keys.audit())]


def _masked(ground: Ground, fields: Mapping[bytes, bytes]) -> dict[bytes, bytes] | None:
    """Return the fields of a line with the id masked; None where it has it nowhere.

    A short id is masked only in what a selector says of a company: elsewhere `51` may be any number.
    """
    masked: dict[bytes, bytes] = {}
    for name, value in fields.items():
        text = value.decode(errors="surrogateescape")
        new = without_ids(ground, text) if name == _SELECTOR else masked_text(ground, text)
        masked[name] = new.encode(errors="surrogateescape")
    return None if masked == dict(fields) else masked
