"""`dlq replay|purge`: changing dead letters, with a look at what is selected before it happens."""

from collections.abc import Callable
from functools import partial

from router.cli.changes.change import carry_out, finish, gone
from router.cli.changes.order import DryRun, Most, Order, Rate, Reason, Renormalise, Yes
from router.cli.command.exits import usage
from router.cli.command.loop import run
from router.cli.command.runtime import opened
from router.cli.command.words import none_named
from router.cli.dead_letters.options import What, narrowed, selecting
from router.cli.output.results import JsonFlag
from router.cli.output.rows import DEAD_LETTER_COLUMNS, dead_letter_row
from workers.operations.change import Change, Result
from workers.operations.dead_letters.letters import DeadLetterEntry
from workers.operations.dead_letters.selector import Selector
from workers.operations.operations import Operations

__all__ = ["purge", "replay"]

_NOUN = "dead letter"


@selecting
def replay(
    selector: Selector,
    what: What = None,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    renormalise: Renormalise = False,
    rate: Rate = None,
    most: Most = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Give events to the subscription that failed, and to no other, once more; safe to repeat.

    A single one goes at once. More than one, and everything where nothing selects, is counted and shown first.
    """
    order = Order(verb="replay", done="replayed", noun=_NOUN, yes=yes, dry_run=dry_run, reason=reason, rate=rate)
    wanted = narrowed(selector, what)

    def chosen(operations: Operations) -> Change[DeadLetterEntry]:
        return operations.replay_dead_letters(wanted, most=most, renormalise=renormalise)

    _change(order, chosen, wanted.subscription, as_json=as_json)


@selecting
def purge(
    selector: Selector,
    what: What = None,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    most: Most = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Remove dead letters for good; something has to select them. More than one take --yes."""
    wanted = narrowed(selector, what)
    if wanted.is_empty:
        usage(
            "dlq purge needs something that selects, such as --subscription NAME or an ID: it never removes everything"
        )
    order = Order(verb="purge", done="purged", noun=_NOUN, yes=yes, dry_run=dry_run, reason=reason)

    def chosen(operations: Operations) -> Change[DeadLetterEntry]:
        return operations.purge_dead_letters(wanted, most=most)

    _change(order, chosen, wanted.subscription, as_json=as_json)


def _change(
    order: Order,
    chosen: Callable[[Operations], Change[DeadLetterEntry]],
    subscription: str | None,
    *,
    as_json: bool,
) -> None:
    async def work() -> Result:
        async with opened() as operations:

            async def nothing() -> str:
                why = await none_named(operations, subscription) or "no dead letter matches"
                return f"{why}; `event-router dlq list` shows the dead letters"

            row_of = partial(dead_letter_row, operations.catalogue)
            return await carry_out(operations, order, chosen(operations), DEAD_LETTER_COLUMNS, row_of, nothing)

    result = run(work())
    finish(order, result, as_json=as_json, others=gone(result.matched - result.changed - result.failed))
