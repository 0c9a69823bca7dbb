"""`keys release|skip`: letting keys go on, with a look at what is selected before it happens."""

from router.cli.change import Kind, Order, carried_out, finish
from router.cli.command.exits import usage
from router.cli.keys.reading import KEY_COLUMNS, Subscribed, key_row, selected
from router.cli.options.common import taking
from workers.operations.keys.line_keys import KeySelector

_HINT = "; `event-router keys list SUBSCRIPTION` shows what there is"
RELEASE = Kind(
    verb="release",
    done="released",
    noun="held key",
    columns=KEY_COLUMNS,
    row_of=key_row,
    nothing="no key that is held matches",
    hint=_HINT,
)
SKIP = Kind(
    verb="skip",
    done="skipped",
    noun="key",
    columns=KEY_COLUMNS,
    row_of=key_row,
    nothing="no key matches",
    hint=_HINT,
)


@taking(selector=selected, order=Order)
def release(subscription: Subscribed, *, selector: KeySelector, order: Order) -> None:
    """Let keys go on that are held; safe to repeat.

    A single one goes at once. More than one, and every held key where nothing selects, is counted and shown first.
    """
    result = carried_out(
        order,
        RELEASE,
        lambda operations: operations.release_keys(subscription, selector, most=order.most),
        subscription,
    )
    finish(order, RELEASE, result)


@taking(selector=selected, order=Order)
def skip(subscription: Subscribed, *, selector: KeySelector, order: Order) -> None:
    """Make a dead letter of the first event of keys, and let them go on; something has to select the keys.

    The dead letter says who skipped it and why, and stands for what the next delivery would stand for: with coalesce,
    for as many events as most= allows. A held key without events is only released, and it says so. What a worker has in
    hand is left to it, and the exit code is 1. More than one take --yes.
    """
    if selector.is_empty:
        usage("keys skip needs something that selects, such as a KEY or --held: it never skips an event of every key")
    result = carried_out(
        order, SKIP, lambda operations: operations.skip_keys(subscription, selector, most=order.most), subscription
    )
    finish(order, SKIP, result)
