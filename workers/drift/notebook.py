"""What the learner writes down under its lease, and what all others read: a hash with a field for each stream."""

from collections.abc import Mapping

import msgspec

from router.store.client import Store
from router.store.errors import forgiven
from router.store.leases import Lease
from router.store.reading import checked, named_values
from workers.drift.kept import Kept, read_kept

__all__ = ["read_all", "write"]


async def read_all(store: Store) -> dict[str, Kept]:
    """Return what is kept, by stream; raises StoreUnavailable."""
    key = store.keys.schemas()
    (found,) = checked(forgiven(await store.commands([("HGETALL", key)]), [key], {}))
    read = {name.decode(errors="replace"): read_kept(text) for name, text in named_values(found).items()}
    return {name: kept for name, kept in sorted(read.items()) if kept is not None}


async def write(store: Store, lease: Lease, kept: Mapping[str, Kept]) -> None:
    """Write down what changed; raises LeaseLost and StoreUnavailable."""
    await lease.note(store.keys.schemas(), {stream: msgspec.json.encode(one) for stream, one in kept.items()})
