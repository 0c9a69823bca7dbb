"""The keys of what a sweep keeps, and its lease: one hash tag for each reconciliation."""

from router.store.client import Store
from router.store.leases import Lease

__all__ = ["Kept"]


class Kept:
    """What is kept of one company's sweeps, as one sweep writes it under its lease of so many seconds."""

    def __init__(self, store: Store, reconciliation: str, company: str, seconds: float) -> None:
        keys = store.keys
        self.state = keys.swept(reconciliation, company)
        self.judged = keys.judged(reconciliation, company)
        self.records = keys.known_records(reconciliation, company)
        self.buried = keys.buried_records(reconciliation, company)
        self.lease = Lease(store, keys.sweeping(reconciliation, company), seconds)
