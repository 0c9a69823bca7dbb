"""The limit that every request to an ERP of ours goes through."""

from router.events.event import Event
from workers.limits.limit import Limit

__all__ = ["OF_FEEDBACK", "erp_limit"]

RESERVE = 0.1
OF_FEEDBACK = 0.25
"""Which part of a quota feedback leaves: fetching comes first."""


def erp_limit(reserve: float = RESERVE) -> Limit:
    """Return the limit `erp`: a quota for each publisher, tenant and company, learnt from the ERP's headers.

    A tenth of it is left for other programs of the same client, unless `reserve` says otherwise.
    """
    return Limit("erp", per=_whose, headers="x-ratelimit", reserve=reserve)


def _whose(event: Event) -> str:
    return "/".join(name for name in (event.publisher, event.tenant_id, event.company_id) if name)
