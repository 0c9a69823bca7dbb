"""`dlq replay|purge`: changing dead letters, with a look at what is selected before it happens."""

from dataclasses import replace

from router.cli.change import Kind, Order, Renormalise, carried_out, finish
from router.cli.command.exits import usage
from router.cli.dead_letters.options import selected
from router.cli.options.common import taking
from router.cli.output.rows import DEAD_LETTER_COLUMNS, dead_letter_row
from workers.operations.dead_letters.selector import Selector

REPLAY = Kind(
    verb="replay",
    done="replayed",
    noun="dead letter",
    columns=DEAD_LETTER_COLUMNS,
    row_of=dead_letter_row,
    nothing="no dead letter matches",
    hint="; `event-router dlq list` shows the dead letters",
)
_PURGE = replace(REPLAY, verb="purge", done="purged")


@taking(selector=selected, order=Order)
def replay(*, selector: Selector, renormalise: Renormalise = False, order: Order) -> None:
    """Give events to the subscription that failed, and to no other, once more; safe to repeat.

    A single one goes at once. More than one, and everything where nothing selects, is counted and shown first.
    """
    result = carried_out(
        order,
        REPLAY,
        lambda operations: operations.replay_dead_letters(selector, most=order.most, renormalise=renormalise),
        selector.subscription,
    )
    finish(order, REPLAY, result)


@taking(selector=selected, order=Order)
def purge(*, selector: Selector, order: Order) -> None:
    """Remove dead letters for good; something has to select them. More than one take --yes."""
    if selector.is_empty:
        usage(
            "dlq purge needs something that selects, such as --subscription NAME or an ID: it never removes everything"
        )
    result = carried_out(
        order,
        _PURGE,
        lambda operations: operations.purge_dead_letters(selector, most=order.most),
        selector.subscription,
    )
    finish(order, _PURGE, result)
