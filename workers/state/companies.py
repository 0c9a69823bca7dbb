"""Which subscriptions are keyed, and companies whose events they do not handle now, as the store keeps them."""

from collections.abc import Sequence
from datetime import datetime

from router.store.client import Store
from router.store.errors import forgiven
from router.store.keys import LINES
from router.store.reading import checked, moment_of

_FOR_EVER = b"inf"


async def keyed_ones(store: Store, names: Sequence[str]) -> list[str]:
    """Return those of the subscriptions that have lines, in one round trip; raises StoreUnavailable."""
    places = [LINES.index(place) for place in ("clock", "length")]
    commands = [("EXISTS", *(store.keys.lines(name)[place] for place in places)) for name in names]
    replies = checked(await store.commands(commands)) if commands else []
    return [name for name, there in zip(names, replies, strict=True) if there]


async def paused_companies(store: Store, names: Sequence[str]) -> dict[str, dict[str, datetime | None]]:
    """Return the paused companies of these subscriptions, each with the end of its pause, None where it has none.

    Those without one are left out. One round trip; raises StoreUnavailable.
    """
    keys = [store.keys.lines(name)[LINES.index("stopped")] for name in names]
    commands = [("ZRANGEBYSCORE", key, "-inf", "+inf", "WITHSCORES") for key in keys]
    replies = checked(forgiven(await store.commands(commands), keys, [])) if commands else []
    return {
        name: {company.decode(errors="backslashreplace"): end_of(str(end).encode()) for company, end in found}
        for name, found in zip(names, replies, strict=True)
        if found
    }


def end_of(reply: bytes) -> datetime | None:
    """Return the end of a pause, epoch milliseconds or `inf` for none."""
    return None if reply == _FOR_EVER else moment_of(f"{max(0, int(float(reply)))}-0")
