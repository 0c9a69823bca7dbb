"""The names of what workers share, such as limits: each is written down, now and then, by who uses it."""

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked

__all__ = ["names_used"]

_KEPT = 30 * 86_400_000  # milliseconds


async def names_used(store: Store, key: str, now: float) -> list[str]:
    """Return in order the names in a sorted set that were used lately; `now` in epoch milliseconds.

    Raises StoreUnavailable.
    """
    replies = await store.commands([("ZRANGEBYSCORE", key, f"{now - _KEPT:.0f}", "+inf")])
    return sorted(name.decode(errors="replace") for name in checked(forgiven(replies, [key], []))[0])
