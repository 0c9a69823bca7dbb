"""`keys release|skip`: letting keys go on, with a look at what is selected before it happens."""

from router.cli.change import Kind, Order, carried_out, finish
from router.cli.command.exits import usage
from router.cli.keys.reading import KEY_COLUMNS, Subscribed, key_row, selected
from router.cli.options.common import taking
from router.cli.output.results import JsonFlag
from workers.operations.keys.line_keys import KeySelector, LineKey


def _kind(verb: str, done: str, noun: str, subscription: str, nothing: str) -> Kind[LineKey]:
    return Kind(
        verb=verb,
        done=done,
        noun=noun,
        columns=KEY_COLUMNS,
        row_of=key_row,
        nothing=nothing,
        hint=f"; `event-router keys list {subscription}` shows what there is",
    )


@taking(selector=selected, order=Order)
def release(subscription: Subscribed, *, selector: KeySelector, order: Order, as_json: JsonFlag = False) -> None:
    """Let keys go on that are held; safe to repeat.

    A single one goes at once. More than one, and every held key where nothing selects, is counted and shown first.
    """
    kind = _kind("release", "released", "held key", subscription, "no key that is held matches")
    result = carried_out(
        order, kind, lambda operations: operations.release_keys(subscription, selector, most=order.most), subscription
    )
    finish(order, kind, result, as_json=as_json)


@taking(selector=selected, order=Order)
def skip(subscription: Subscribed, *, selector: KeySelector, order: Order, as_json: JsonFlag = False) -> None:
    """Make a dead letter of the first event of keys, and let them go on; something has to select the keys.

    The dead letter says who skipped it and why, and holds what would have been merged into it. A held key without
    events goes on. What a worker has in hand is left to it, and the exit code is 1. More than one take --yes.
    """
    if selector.is_empty:
        usage("keys skip needs something that selects, such as a KEY or --held: it never skips an event of every key")
    kind = _kind("skip", "skipped", "key", subscription, "no key matches")
    result = carried_out(
        order, kind, lambda operations: operations.skip_keys(subscription, selector, most=order.most), subscription
    )
    finish(order, kind, result, as_json=as_json)
