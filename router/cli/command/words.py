"""What a command says where no subscription has the name it was given."""

from workers.operations.operations import Operations

__all__ = ["none_named"]


async def none_named(operations: Operations, name: str | None) -> str | None:
    """Return, where no subscription has this name, what to say of it; None where one has, or none was named."""
    if name is None:
        return None
    names = await operations.subscriptions()
    if name in names:
        return None
    if not names:
        return f"no subscription {name!r} exists, and no other: no worker has run yet"
    return f"no subscription {name!r} exists; there {'are' if len(names) > 1 else 'is'} {', '.join(names)}"
