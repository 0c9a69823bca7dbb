"""What a process uses, as the kernel counts it: memory, open files, processor time."""

import os
from pathlib import Path

__all__ = ["cpu_seconds", "descriptors", "resident"]


def resident(pid: int | str = "self") -> float:
    """Return the resident memory in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def descriptors(pid: int | str = "self") -> int:
    """Return how many files and sockets are open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def cpu_seconds(pid: int | str = "self") -> float:
    """Return how much of the processors' time was used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
