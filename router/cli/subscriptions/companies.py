"""`subscriptions pause|resume --company`: keeping a keyed subscription from the events of one company."""

from datetime import timedelta
from typing import Any

from router.cli.command.exits import NothingMatched
from router.cli.command.loop import in_order
from router.cli.command.runtime import none_named, operate
from router.cli.output.results import clean, fields_of, print_json, print_line, stamp
from workers.operations.operations import Operations
from workers.state.companies import CompanyPause


def pause_company(name: str, company: str, lasting: timedelta | None, reason: str, *, as_json: bool) -> None:
    """Have no more events of a company handled, for so long or until it is resumed."""
    made = operate(lambda operations: _pause(operations, name, company, lasting, reason))
    if as_json:
        print_json({"subscription": name, "company": company, "paused": _json(made)})
    else:
        end = f"until {stamp(made.until)}" if made.until else "until it is resumed"
        print_line(f"{name} handles no more events of company {clean(company)} {end}; what runs finishes")


def _json(found: CompanyPause) -> dict[str, Any]:
    return fields_of(found, "since", "until", "by", "reason")


async def _pause(
    operations: Operations, name: str, company: str, lasting: timedelta | None, reason: str
) -> CompanyPause:
    await _check(operations, name)
    seconds = lasting.total_seconds() if lasting else None
    with in_order():
        return await operations.pause_company(name, company, seconds, reason=reason)


async def _check(operations: Operations, name: str) -> None:
    """Raise NothingMatched for a subscription that knows no companies."""
    if words := await none_named(operations, name):
        raise NothingMatched(words)
    if not await operations.is_keyed(name):
        raise NothingMatched(f"{name} is not paused by company: it is defined without a key, or never ran with one")


def resume_company(name: str, company: str, reason: str, *, as_json: bool) -> None:
    """Have the events of a company handled again; exit code 3 where it was not paused."""
    was = operate(lambda operations: _resume(operations, name, company, reason))
    if as_json:
        print_json({"subscription": name, "company": company, "was_paused": _json(was)})
    else:
        print_line(f"{name} handles the events of company {clean(company)} again")


async def _resume(operations: Operations, name: str, company: str, reason: str) -> CompanyPause:
    companies = (await operations.paused_companies([name])).get(name, {})
    if company not in companies:
        await _check(operations, name)
        raise NothingMatched(f"{name} is not paused for company {company}")
    with in_order():
        await operations.resume_company(name, company, reason=reason)
    return companies[company]
