"""What is known of the traffic of a company: in which hours something came of it, and what was learnt of that."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from router.store.watched.traffic import HOUR, KEPT
from workers.operations.audit import CHANGED
from workers.operations.erasing.found import Found, Place
from workers.operations.erasing.lines import scanned

__all__ = ["Traffic"]


class Traffic(Place):
    """The hours that ingresses noted, and what the watcher of silence has learnt."""

    name = "traffic"

    async def found(self) -> AsyncIterator[Found]:
        """Yield what is known, hour by hour, and then what was learnt."""
        keys, now = self.store.keys, int(time.time() * 1000) // HOUR
        hours = range(now - KEPT // HOUR, now + 2)
        for key in (*map(keys.traffic, hours), keys.learnt()):
            async for field, value in scanned(self, "HSCAN", key):
                text = field.decode(errors="backslashreplace")
                if self.ground.whose.is_named(text):
                    said = "learnt" if key == keys.learnt() else value
                    yield Found(place=self, where=key, id=text, content={text: said}, payload=field)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Forget it; the watcher may write nothing any more until it has read what is left, for it loses its lease."""
        await self.commands(("DEL", self.store.keys.watching()))
        removed = await self.commands(*(("HDEL", item.where, item.payload) for item in items))
        return Counter({CHANGED: sum(removed)})
