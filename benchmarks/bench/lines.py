"""What the benchmarks look at in the lines of a keyed subscription, and the order in which it handled events."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench import filling
from bench.bodies import STREAM
from bench.plan import WorkNotDone
from router.store.keys import LINES

__all__ = ["all_settled", "brought", "check_order", "keys_in_turn", "number_of", "rests"]


def keys_in_turn(keys: int) -> Callable[[str], str]:
    """Return what tells the resource of an id, of so many in turn."""
    return lambda id_: str(10_000 + number_of(id_) % keys)


def number_of(id_: str) -> int:
    """Return the number that an id was made of."""
    return int(id_[-12:], 16)


def check_order(ids: Sequence[str], times: Mapping[str, int], resource: Callable[[str], str]) -> None:
    """Raise WorkNotDone unless the events of each key were handled in order."""
    latest: dict[str, int] = defaultdict(int)
    for id_ in ids:
        if times[id_] < latest[resource(id_)]:
            raise WorkNotDone(f"{id_} was handled before an earlier event of its key")
        latest[resource(id_)] = times[id_]


def brought(client: Any) -> bool:
    """Return whether all entries have gone on from the stream into the lines."""
    if not client.exists(filling.KEYS.events(STREAM)):
        return False
    groups = client.xinfo_groups(filling.KEYS.events(STREAM))
    return bool(groups) and all(group["lag"] == 0 for group in groups)


def all_settled(client: Any) -> bool:
    """Return whether all that was appended is handled and settled, in the stream and in the lines."""
    if not brought(client):
        return False
    pending = sum(group["pending"] for group in client.xinfo_groups(filling.KEYS.events(STREAM)))
    return not pending and not client.zcard(_line_key("lines"))


def rests(client: Any, company: str) -> bool:
    """Return whether all that was appended is in the lines, and nothing of a company is ready or running."""
    span = (f"[{company}\0", f"({company}\1")
    running = any(owner.split(b"\0")[1] == company.encode() for owner in client.hvals(_line_key("owners")))
    return brought(client) and not client.zlexcount(_line_key("ready"), *span) and not running


def _line_key(name: str) -> str:
    return filling.KEYS.lines(filling.GROUP)[LINES.index(name)]
