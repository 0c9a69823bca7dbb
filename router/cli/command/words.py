"""What a command on dead letters says of subscriptions: that a name is unknown, or that no worker runs for one."""

from collections.abc import Iterable

from router.cli.command.runtime import Session
from workers.state.existing import existing_groups
from workers.state.former import all_streams
from workers.state.liveness import live_consumers

__all__ = ["none_named", "without_worker"]


async def none_named(session: Session, name: str | None) -> str | None:
    """Return, where no subscription has this name, what to say of it; None where one has, or none was named."""
    if name is None:
        return None
    groups = await existing_groups(session.store, await all_streams(session.store, session.catalogue))
    names = sorted({group.name for found in groups.values() for group in found})
    if name in names:
        return None
    if not names:
        return f"no subscription {name!r} exists, and no other: no worker has run yet"
    return f"no subscription {name!r} exists; there {'are' if len(names) > 1 else 'is'} {', '.join(names)}"


async def without_worker(session: Session, names: Iterable[str]) -> list[str]:
    """Return those of the subscriptions for which no worker has given a sign of life within the lease."""
    alive = await live_consumers(session.store, sorted(set(names)), session.settings.workers.lease)
    return [name for name, consumers in alive.items() if not consumers]
