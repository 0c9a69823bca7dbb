"""The limit that every request to an ERP of ours goes through."""

from router.events.event import Event
from workers.limits.limit import Limit

__all__ = ["erp_limit"]

_RESERVE = 0.1


def erp_limit() -> Limit:
    """Return the limit `erp`: a quota for each publisher, tenant and company, learnt from the ERP's headers.

    A tenth of it is left for other programs of the same client.
    """
    return Limit("erp", per=_whose, headers="x-ratelimit", reserve=_RESERVE)


def _whose(event: Event) -> str:
    return "/".join(name for name in (event.publisher, event.tenant_id, event.company_id) if name)
