"""The keys of a keyed subscription: what waits in order, and what holds it up."""

from collections.abc import Mapping, Sequence

from router.console.forms import Unclear, typed_in
from router.console.page import Page
from router.http.response import Response
from router.tasks.ending import in_time
from router.tasks.iterating import first, unhurried
from workers.operations.keys.line_keys import KeySelector, LineKey

FIELDS = ("subscription", "key", "held", "company", "resource")
"""The names of the fields of the form."""

_SHOWN = 50
_PATIENCE = 5.0  # seconds for the page: a filter may fit nothing among millions


def selector_of(typed: Mapping[str, str]) -> KeySelector:
    """Return the selector that the fields make."""
    return KeySelector(typed.get("key"), "held" in typed, typed.get("company"), typed.get("resource"))


def subscription_in(typed: Mapping[str, str]) -> str:
    """Return the subscription that is chosen; raises Unclear where none is."""
    if not (name := typed.get("subscription", "")):
        raise Unclear("No subscription is chosen: choose one from the list.")
    return name


async def list_(page: Page) -> Response:
    """List the first keys that the form selects, of one of the keyed subscriptions."""
    typed = typed_in(page.request.query, FIELDS)
    rows = (await page.console.watch.look()).figures.rows
    names = [row.name for row in rows if row.keys is not None]
    if "subscription" not in typed and names:
        typed["subscription"] = names[0]
    found: list[LineKey] = []
    given_up = False
    if typed.get("subscription") in names:
        given_up = not await _fill(found, page, typed)
    problem = _unknown(typed, [row.name for row in rows], names)
    return page.answer(
        "keys.html",
        status=400 if problem else 200,
        problem=problem,
        typed=typed,
        names=names,
        entries=found[:_SHOWN],
        more=len(found) > _SHOWN,
        given_up=given_up,
    )


def _unknown(typed: Mapping[str, str], known: Sequence[str], keyed: Sequence[str]) -> str:
    """Return what is wrong with the subscription that was chosen; empty where nothing is."""
    name = typed.get("subscription")
    if name is None or name in keyed:
        return ""
    wrong = f"{name} has no key" if name in known else f"There is no subscription {name!r}"
    those = f"those with one are {', '.join(keyed)}" if keyed else "no subscription has one"
    return f"{wrong}: {those}. `event-router subscriptions list` has all."


async def _fill(found: list[LineKey], page: Page, typed: Mapping[str, str]) -> bool:
    """Take what a page shows, and one more; return whether there was the time for it."""
    keys = first(page.console.operations.keys(typed["subscription"], selector_of(typed)), _SHOWN + 1)

    async def take() -> None:
        async for key in unhurried(keys, _PATIENCE):
            found.append(key)  # noqa: PERF401 - what was found before the time is over counts

    try:
        await in_time(_PATIENCE, take())
    except TimeoutError:
        return False
    return True
