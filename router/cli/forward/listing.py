"""`forward list`: where each forward goes, whether it runs, and how its last exchange ended."""

from typing import Any

from router.cli.command.exits import complain
from router.cli.command.runtime import operate
from router.cli.output.results import JsonFlag, age, fields_of, print_json
from router.cli.output.table import SUBSCRIPTION, Column, TwoForms, print_table, rest
from workers.operations.forwards import ForwardState
from workers.operations.operations import Operations

_COLUMNS = (
    SUBSCRIPTION,
    rest("HOST"),
    Column("STATE"),
    Column("LAST"),
    Column("AGE", right=True),
    *(Column(name, right=True) for name in ("LAG", "SCHEDULED", "DEAD", "PROCESSES")),
)
_DEFERRED = rest("DEFERRED", "wrap")


def list_(*, as_json: JsonFlag = False) -> None:
    """List the forwards: where each goes, and whether that works.

    STATE is running; deferred while its receiver puts events off by Retry-After, which a last column then says more of;
    down while its breaker is open; gone where the receiver answered 410, which has paused it; paused by somebody else;
    or stopped where no process runs it. LAST is the status of its last exchange, or timeout,
    unreachable or refused.
    """
    found = operate(Operations.forwards)
    if as_json:
        print_json([_json(forward) for forward in found])
        return
    is_wider = any(forward.deferral for forward in found)
    rows = [(*_row(forward), *([_deferred(forward)] if is_wider else [])) for forward in found]
    print_table((*_COLUMNS, *([_DEFERRED] if is_wider else [])), rows)
    if not found:
        complain("there is no forward: the settings have no [[forward]], and none has run")


def _row(forward: ForwardState) -> tuple[object, ...]:
    since = age(forward.last_at) if forward.last_at else None
    figures = (forward.lag, forward.scheduled, forward.dead, forward.workers)
    return (forward.name, forward.host, forward.state, forward.last, since, *figures)


def _deferred(forward: ForwardState) -> TwoForms | None:
    if (found := forward.deferral) is None:
        return None
    return TwoForms(found.text(), f"for {age(found.since)}, until {found.until:%H:%M:%S} UTC")


def _json(forward: ForwardState) -> dict[str, Any]:
    what = fields_of(forward, "name", "host", "format", "state", "last", "last_at", "seconds")
    pause, breaker, deferral = forward.pause, forward.breaker, forward.deferral
    return {
        **what,
        "last": forward.last or None,
        "deferred": fields_of(deferral, "since", "until", "reason") if deferral else None,
        "pause": fields_of(pause, "since", "until", "by", "reason") if pause else None,
        "breaker": fields_of(breaker, "name", "state", "since", "reason") if breaker else None,
        **fields_of(forward, "workers", "lag", "scheduled", "dead"),
    }
