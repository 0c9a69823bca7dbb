"""Long lists in pages, newest first: where one ends the next begins, however many have come meanwhile."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from config.errors import RouterError
from router.console.forms import typed_in
from router.console.page import Page
from router.http.response import Response
from router.store.reading import is_entry_id, moment_of, order_of
from router.tasks.ending import in_time
from router.tasks.iterating import unhurried

T = TypeVar("T")

PAGE_SIZE = 50
_PATIENCE = 5.0  # seconds for one page: a filter may fit nothing among millions
_COUNT = re.compile(r"\d{1,6}")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after so many entries of this id, which several streams may have; None for the newest."""

    entry_id: str | None = None
    skip: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Cursor":
        """Read it from a URL; what makes no sense is the first page."""
        older, skip = query.get("older", ""), query.get("skip", "")
        if not is_entry_id(older):
            return cls()
        return cls(older, int(skip) if _COUNT.fullmatch(skip) else 0)

    def within(self, until: datetime | None) -> datetime | None:
        """Return the end of a span of time, as far as this page goes."""
        own = moment_of(self.entry_id) if self.entry_id else None
        return min((end for end in (until, own) if end is not None), default=None)


@dataclass(slots=True)
class Listed(Generic[T]):
    """One page of a list, from a cursor on: what is on it, the query of the next one, and whether it was given up.

    typed: what was typed into its form. problem: what is wrong with that, or None.
    """

    cursor: Cursor
    typed: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    items: list[T] = field(default_factory=list)
    following: dict[str, str] | None = None
    given_up: bool = False


async def search(
    page: Page,
    names: Iterable[str],
    find: Callable[[Mapping[str, str], Cursor], AsyncIterator[T]],
    id_of: Callable[[T], str],
) -> Listed[T]:
    """Read the fields of these names from the URL, and one page of what they find.

    `find` raises RouterError where what was typed makes no sense, and reads nothing before it is iterated.
    """
    typed, cursor = typed_in(page.request.query, names), Cursor.of(page.request.query)
    try:
        found = find(typed, cursor)
    except RouterError as error:
        return Listed(cursor, typed, str(error))
    return await taken(found, cursor, id_of, typed)


async def taken(
    items: AsyncIterator[T], cursor: Cursor, id_of: Callable[[T], str], typed: Mapping[str, str] | None = None
) -> Listed[T]:
    """Take a page of what is listed newest first, by the ids of its entries."""
    page: Listed[T] = Listed(cursor, typed or {})
    try:
        await in_time(_PATIENCE, _fill(page, unhurried(items, _PATIENCE), id_of))
    except TimeoutError:
        page.given_up = True
    return page


async def _fill(page: Listed[T], items: AsyncGenerator[T, None], id_of: Callable[[T], str]) -> None:
    cursor = page.cursor
    begin, left = order_of(cursor.entry_id) if cursor.entry_id else None, cursor.skip
    async with aclosing(items):
        async for item in items:
            place = order_of(id_of(item))
            if begin is not None and place > begin:
                continue
            if place == begin and left:
                left -= 1
                continue
            if len(page.items) == PAGE_SIZE:
                page.following = _following([id_of(shown) for shown in page.items], cursor)
                return
            page.items.append(item)


def list_page(page: Page, template: str, found: Listed[Any], **values: Any) -> Response:
    """Return the page of a list."""
    following = found.following and f"{page.request.path}?{urlencode({**found.typed, **found.following})}"
    common = {"typed": found.typed, "problem": found.problem, "entries": found.items, "following": following}
    more = {"is_first": found.cursor == Cursor(), "given_up": found.given_up}
    return page.answer(template, status=400 if found.problem else 200, **common, **more, **values)


def _following(ids: list[str], cursor: Cursor) -> dict[str, str]:
    last = ids[-1]
    return {"older": last, "skip": str(ids.count(last) + (cursor.skip if last == cursor.entry_id else 0))}
