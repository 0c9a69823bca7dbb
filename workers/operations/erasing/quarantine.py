"""Signed bodies that are no events, as far as they say whose they are."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from router.events.named import named_in
from router.events.readings import readings
from router.store import scripts
from router.store.reading import Span, forward
from router.store.record import ID, RAW, Fields, text_of
from router.store.windows import Windows
from workers.operations.change import Tally
from workers.operations.erasing.found import Found, Ground, Place

__all__ = ["Bodies"]

_PAGE: Final = 50
_BOM: Final = b"\xef\xbb\xbf"
_WHITESPACE: Final = b" \t\r\n"
_cut = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Bodies(Place):
    """The quarantine of one publisher."""

    name = "quarantine"

    def __init__(self, ground: Ground, slug: str) -> None:
        super().__init__(ground)
        self._slug = slug
        self.key = ground.store.keys.quarantine(slug)

    async def found(self) -> AsyncIterator[Found]:
        """Yield the oldest first; of a body that cannot be read, whatever it names tells whose it is."""
        publisher, whose = self.ground.publisher(self._slug), self.ground.whose
        async for entry_id, fields in forward(self.store, self.key, Span(), _PAGE):
            raw = fields.get(RAW, b"")
            if whose.wants_any(pairs := named_in(publisher, raw)):
                pair = next((pair for pair in pairs if whose.wants_any([pair])), pairs[0])
                yield Found(
                    place=self,
                    where=self.key,
                    id=entry_id.decode(),
                    content=fields,
                    whose=pair,
                    size=len(raw),
                    payload=fields,
                )

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Remove them; of a body with items of others, too, these stay: as a body of their own."""
        seen = [self.store.keys.seen(self._slug, text_of(item.payload, ID)) for item in items]
        await self.commands(*(("SET", marker, "", "XX", "KEEPTTL") for marker in seen))
        rests = [(item, rest) for item in items if (rest := self._others(item.payload))]
        mixed = {item.id for item, _ in rests}
        calls = [self._replace(item.id, rest) for item, rest in rests]
        if whole := [item.id for item in items if item.id not in mixed]:
            calls.append(scripts.erase(self.key, whole))
        replies = await self.store.run(calls)
        return Tally.of(replies, [*(1 for _ in rests), *([len(whole)] if whole else [])]).counts()

    def _replace(self, entry_id: str, rest: dict[bytes, Any]) -> scripts.Call:
        """Return what puts the rest of a body in its place, once, as ingress would have."""
        marker = self.store.keys.seen(self._slug, str(rest[ID]))
        ttl = Windows.for_settings(self.ground.settings).of(self.key)
        return scripts.replace(self.key, entry_id, marker, ttl, [part for pair in rest.items() for part in pair])

    def _others(self, fields: Fields) -> dict[bytes, Any]:
        """Return the fields of a body that has only what is of others; empty where nothing is."""
        publisher, whose = self.ground.publisher(self._slug), self.ground.whose
        items = next(filter(None, map(_items, readings(fields.get(RAW, b"")))), [])
        kept = [item for item in items if not whose.wants_any(named_in(publisher, item))]
        if not kept or len(kept) == len(items):
            return {}
        raw = b"[" + b",".join(kept) + b"]"
        return {**fields, ID: f"sha256:{sha256(raw).hexdigest()}", RAW: raw}


def _items(text: bytes) -> list[bytes]:
    """Return the items of a list of JSON, as they are; none for anything else."""
    text = text.removeprefix(_BOM).strip(_WHITESPACE)
    try:
        return [bytes(item) for item in _cut(text)] if text.startswith(b"[") else []
    except (ValueError, RecursionError):
        return []
