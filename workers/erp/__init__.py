"""The ERP behind the events: records fetched, changed and made, as one client for each tenant."""

from workers.erp.clients import Clients, erp_for, open_clients
from workers.erp.erp import Erp
from workers.erp.errors import (
    BackgroundExpired,
    BackgroundPending,
    ErpBusy,
    ErpConflict,
    ErpDown,
    ErpError,
    ErpNotSet,
    ErpRefused,
    ErpUnauthorized,
    ErpUnavailable,
    ErpUnreadable,
    NoRecord,
    NoTenant,
    UnsafePath,
)
from workers.erp.quota import Quota
from workers.record import Background, Record

__all__ = [
    "Background",
    "BackgroundExpired",
    "BackgroundPending",
    "Clients",
    "Erp",
    "ErpBusy",
    "ErpConflict",
    "ErpDown",
    "ErpError",
    "ErpNotSet",
    "ErpRefused",
    "ErpUnauthorized",
    "ErpUnavailable",
    "ErpUnreadable",
    "NoRecord",
    "NoTenant",
    "Quota",
    "Record",
    "UnsafePath",
    "erp_for",
    "open_clients",
]
