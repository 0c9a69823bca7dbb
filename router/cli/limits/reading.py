"""`limits list|show`: how the quotas stand that workers share."""

from typing import Annotated, Any

import typer

from router.cli.command.exits import NothingMatched, complain
from router.cli.command.runtime import operate
from router.cli.output.results import JsonFlag, fields_of, print_json, stamp
from router.cli.output.table import Column, print_table, rest
from workers.operations.operations import Operations
from workers.state.limits import LimitState, QuotaState

_LIMITS = (
    Column("LIMIT"),
    *(Column(name, right=True) for name in ("QUOTAS", "WAITING", "WORKERS")),
    rest("NEXT RESET"),
)
_QUOTAS = (
    Column("OF", shrink=((4, 24),), cut="middle"),
    Column("STATE"),
    Column("LIMIT", right=True),
    Column("LEFT", right=True),
    rest("RESETS"),
)


def list_(*, as_json: JsonFlag = False) -> None:
    """List the limits that workers share.

    QUOTAS are those used within the last day, WAITING how many of them are used up or refused, WORKERS how many
    share them.
    """
    found = operate(Operations.limits)
    if as_json:
        print_json([_limit_json(limit) for limit in found])
        return
    print_table(_LIMITS, [(each.name, len(each.quotas), each.waiting, each.workers, _next(each)) for each in found])
    if not found:
        complain("there is no limit: no handler has used one yet")


def show(
    name: Annotated[str, typer.Argument(metavar="LIMIT", help="As `limits list` shows it.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show the quotas of one limit: how much is left of each, and when it is whole again."""
    found = next((limit for limit in operate(Operations.limits) if limit.name == name), None)
    if found is None:
        raise NothingMatched(f"there is no limit {name!r}; `event-router limits list` shows all")
    if as_json:
        print_json({**_limit_json(found), "quotas": [_quota_json(quota) for quota in found.quotas]})
        return
    print_table(_QUOTAS, [_row(quota) for quota in found.quotas])


def _next(limit: LimitState) -> str | None:
    ends = [quota.closed_until or quota.resets_at for quota in limit.quotas if quota.waits]
    return stamp(min((end for end in ends if end is not None), default=None))


def _row(quota: QuotaState) -> tuple[object, ...]:
    return (quota.subject or "all", quota.state, quota.limit, quota.left, stamp(quota.closed_until or quota.resets_at))


def _limit_json(limit: LimitState) -> dict[str, Any]:
    return {"name": limit.name, "workers": limit.workers, "subjects": len(limit.quotas), "waiting": limit.waiting}


def _quota_json(quota: QuotaState) -> dict[str, Any]:
    return fields_of(quota, "subject", "state", "limit", "left", "resets_at", "closed_until", "used_at")
