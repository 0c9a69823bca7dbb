"""Which consumers of a subscription live, as far as anybody but themselves can know."""

from collections.abc import Sequence

from router.store import scripts
from router.store.client import Store
from router.store.reading import checked
from router.store.spoilt import forgiven

__all__ = ["live_consumers"]


async def live_consumers(store: Store, names: Sequence[str], lease: float) -> dict[str, list[str]]:
    """Return the consumers of each subscription that were heard of within `lease` seconds; raises StoreUnavailable."""
    keys = [store.keys.consumers(name) for name in names]
    replies = await store.run([scripts.alive(key, int(lease * 1000)) for key in keys]) if keys else []
    found = dict(zip(names, checked(forgiven(replies, keys, [])), strict=True))
    return {name: [who.decode(errors="backslashreplace") for who in consumers] for name, consumers in found.items()}
