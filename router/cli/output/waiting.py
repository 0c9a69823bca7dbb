"""What keeps events waiting, in JSON and in words: a pause, and the limit of handlers for one company."""

from collections.abc import Mapping
from typing import Any

from router.cli.output.results import fields_of
from workers.state.companies import Companies, CompanyPause
from workers.state.pauses import Pause


def pause_json(found: Pause | CompanyPause | None) -> dict[str, Any] | None:
    """Return a pause as JSON has it, with the company if it is of one; None for none."""
    if found is None:
        return None
    company = {"company": found.company} if isinstance(found, CompanyPause) else {}
    return {**company, **fields_of(found, "since", "until", "by", "reason")}


def companies_json(companies: Companies) -> dict[str, list[dict[str, Any] | None]]:
    """Return a field of the paused companies of a subscription; no field where there are none."""
    return {"paused_companies": [pause_json(each) for each in companies.values()]} if companies else {}


def pauses_text(pause: Pause | None, companies: Mapping[str, CompanyPause]) -> str:
    """Return in words what is paused of a subscription; nothing where nothing is."""
    return "; ".join([*([pause.text()] if pause else []), *(each.text() for each in companies.values())])


def company_limit_text(limit: int) -> str:
    """Return in words that a company has as many handlers at work as it may."""
    return f"waits for a turn of its company, of which {limit} run, as many as per_company allows"
