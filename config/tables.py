"""Lists of tables in the settings file, each with a name: what `[[forward]]` begins, once for each.

A variable of the environment names one by its name: `ROUTER_FORWARD__CRM__URL` is the URL of the forward `crm`, and
that of `crm-eu` or `crm.eu` is `ROUTER_FORWARD__CRM_EU__URL`. It makes another where the file has none of that name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

__all__ = ["Table", "checked", "fold_name", "merged", "name_of", "put"]

Values = dict[str, Any]
_SHOWN = 60


class Table(Protocol):
    """A table of a list: its name, and what is wrong with its settings together, in words that follow the name."""

    @property
    def name(self) -> str:
        """Its name; empty where none is set."""

    @property
    def fault(self) -> str:
        """What is wrong; empty for nothing."""


T = TypeVar("T", bound=Table)


def checked(tables: tuple[T, ...], empty: T) -> tuple[T, ...]:
    """Return the tables without those that are `empty`; raises ValueError where one cannot be."""
    found = tuple(table for table in tables if table != empty)
    names = set[str]()
    for number, table in enumerate(found, 1):
        if not table.name:
            raise ValueError(f"number {number} has no name: set name")
        if fold_name(table.name) in names:
            raise ValueError(f"{table.name!r} is there twice: give each a name of its own")
        if table.fault:
            raise ValueError(f"{table.name!r} {table.fault}")
        names.add(fold_name(table.name))
    return found


def fold_name(name: object) -> str:
    """Spell the name of a table as environment variables can."""
    return str(name).lower().replace("-", "_").replace(".", "_")


def name_of(tables: object, number: object) -> str:
    """Return what a message calls a table: its name, or else its place in the list, counted from 1."""
    place = number if isinstance(number, int) else 0
    table = tables[place] if isinstance(tables, list) and place < len(tables) else None
    name = table.get("name") if isinstance(table, dict) else None
    return repr(name[:_SHOWN]) if isinstance(name, str) and name else f"number {place + 1}"


def put(within: Values, keys: Sequence[str], value: str) -> None:
    """Put a value where keys, of tables within each other, lead."""
    for key in keys[:-1]:
        inner = within.get(key)
        inner = inner if isinstance(inner, dict) else {}
        within[key] = inner
        within = inner
    within[keys[-1]] = value


def merged(weak: object, strong: Mapping[str, Any], merge: Callable[[Values, Values], Values]) -> object:
    """Return a list of tables with what variables say of them, by name; `weak` as it is where it is no list."""
    if not isinstance(weak, list | None):
        return weak
    tables = [_overridden(table, strong, merge) for table in weak or ()]
    known = {fold_name(table.get("name")) for table in tables if isinstance(table, dict)}
    return [*tables, *({"name": name, **values} for name, values in strong.items() if name not in known)]


def _overridden(table: Any, strong: Mapping[str, Any], merge: Callable[[Values, Values], Values]) -> Any:
    if not isinstance(table, dict):
        return table
    return merge(table, strong.get(fold_name(table.get("name")), {}))
