"""Quotas of what handlers call, shared by all workers."""

from workers.limits.limit import Limit
from workers.limits.limiter import Limiter, limiting

__all__ = ["Limit", "Limiter", "limiting"]
