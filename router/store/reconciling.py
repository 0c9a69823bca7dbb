"""The keys of what a sweep keeps, and its lease: one hash tag for each reconciliation."""

from router.store.keys import Keys
from router.store.leases import Lease

__all__ = ["Kept"]


class Kept:
    """What is kept of one company's sweeps, as the sweep `token` writes it under its lease."""

    def __init__(self, keys: Keys, reconciliation: str, company: str, token: str) -> None:
        self.state = keys.swept(reconciliation, company)
        self.judged = keys.judged(reconciliation, company)
        self.records = keys.known_records(reconciliation, company)
        self.lease = Lease(keys.sweeping(reconciliation, company), token)
