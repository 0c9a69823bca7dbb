"""`notify list`: the notifiers, and how each fares."""

from typing import Any

from router.cli.command.exits import complain
from router.cli.command.runtime import operate
from router.cli.output.results import JsonFlag, print_json, stamp
from router.cli.output.table import Column, print_table, rest
from router.store.reading import moment_at
from workers.notify.state import NotifierState, place_of
from workers.operations.operations import Operations

_COLUMNS = (
    Column("NAME"),
    Column("KIND"),
    Column("TO", shrink=((4, 20),), cut="middle"),
    Column("INCIDENTS", shrink=((5, 12),)),
    Column("STATE"),
    Column("WAITING", right=True),
    Column("SENT"),
    rest("ERROR"),
)


def list_(*, as_json: JsonFlag = False) -> None:
    """List the notifiers of the settings, in their order.

    STATE is `new` until a worker has it, then `ok`, or `failing` while messages are not taken and tried again. WAITING
    counts the notices that are not handed over. SENT is when a message was taken last.
    """
    found = operate(Operations.notifiers)
    if as_json:
        print_json([_json(each) for each in found])
        return
    print_table(_COLUMNS, [_row(each) for each in found])
    if not found:
        complain("there is no notifier: set [[notify]] (docs/notify.md)")


def _row(each: NotifierState) -> tuple[object, ...]:
    settings = each.settings
    where = (settings.name, settings.kind, place_of(settings), ",".join(settings.incidents))
    return (*where, each.state, each.waiting, _time(each.sent_at), each.error)


def _json(each: NotifierState) -> dict[str, Any]:
    settings = each.settings
    return {
        "name": settings.name,
        "kind": settings.kind,
        "to": place_of(settings),
        "incidents": list(settings.incidents),
        "state": each.state,
        "waiting": each.waiting,
        "sent_at": _time(each.sent_at),
        "failed_at": _time(each.failed_at),
        "failures": each.failures,
        "error": each.error or None,
    }


def _time(millis: int) -> str | None:
    return stamp(moment_at(millis)) if millis else None
