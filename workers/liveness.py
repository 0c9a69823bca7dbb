"""Which consumers of a subscription live, as far as anybody but themselves can know."""

from collections.abc import Sequence

from router import scripts
from router.pages import checked
from router.store import Store

__all__ = ["live_consumers"]


async def live_consumers(store: Store, names: Sequence[str], lease: float) -> dict[str, list[str]]:
    """Return the consumers of each subscription that were heard of within `lease` seconds; raises StoreUnavailable."""
    calls = [scripts.alive(store.keys.consumers(name), int(lease * 1000)) for name in names]
    replies = checked(await store.run(calls) if calls else [])
    return {name: [consumer.decode() for consumer in found] for name, found in zip(names, replies, strict=True)}
