"""How many open files a process may have, and how they are shared out between its ports and all else that it does.

A stranger who only connects must not take what the store, the spool or the other port needs. The limit is asked for
each time, since it can be changed while the process runs.
"""

import resource

OPERATIONS = 64
"""Connections that an operations port, and a console on it, has at most."""

_RESERVE = 128  # for the store, the spool, files of secrets, and what just came and is about to be closed
_LEAST = 16


def for_webhooks() -> int:
    """Return how many connections of senders may be open now."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        limit = 1 << 20
    return max(_LEAST, limit - OPERATIONS - _RESERVE)
