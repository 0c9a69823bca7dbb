"""The breakers that every request to an ERP of ours goes through."""

from workers.breakers.breaker import Breaker
from workers.erp.errors import ErpDown, ErpUnavailable

__all__ = ["ErpBreaker", "erp_breaker"]


class ErpBreaker(Breaker):
    """A breaker whose deferral is an error of the ERP as well."""

    def deferral(self, seconds: float) -> ErpDown:
        """Return what defers the event of a request."""
        return ErpDown(f"{self.name} is down: its breaker is open", seconds)


def erp_breaker(name: str) -> ErpBreaker:
    """Return the breaker of one target: an ERP is down for all of its tenants and companies."""
    return ErpBreaker(name, failed_by=ErpUnavailable)
