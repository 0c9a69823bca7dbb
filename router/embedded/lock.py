"""Locks on files, each gone with the last process that holds it open."""

import fcntl
import os
from pathlib import Path


def try_lock(file: Path) -> int | None:
    """Return the descriptor that holds the lock until it is closed; None when another process holds it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(file: Path) -> bool:
    """Tell whether another process holds the lock."""
    if (descriptor := try_lock(file)) is None:
        return True
    os.close(descriptor)
    return False
