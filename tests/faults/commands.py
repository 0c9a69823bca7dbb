"""How the processes under test are started: their commands, and what their environments have in common.

The server flushes its append-only file before it answers. With `appendfsync everysec` one that is killed may forget
what it answered in the two seconds before: while a flush is under way it puts off the next write, and a slow disk makes
flushes long. That would be a loss no router can prevent. What is kept in a disk in memory instead, where there is one,
is flushed in no time and outlives the process all the same.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

from faults.load import SECRET, STREAMS
from support.servers import server_program

__all__ = [
    "LEASE",
    "fast_disk",
    "module",
    "plain_environment",
    "router_command",
    "router_environment",
    "server_command",
]

LEASE = 2.0
"""Seconds."""

_HERE = Path(__file__).parent
_ROOM = 4 * 1024**3
_MODULES = [str(_HERE / "handicaps"), str(_HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
_OURS = ("ROUTER_", "COVERAGE_")  # what must not reach the processes: settings, and the slowness of being measured


def module(name: str) -> str:
    """Return the path of a worker module of ours."""
    return str(_HERE / "modules" / name)


def router_command(*arguments: str) -> list[str]:
    """Return the command line of the router with these arguments."""
    return [sys.executable, "-m", "router.cli.main", *arguments]


def server_command(port: int, data: Path, *, fsync: str) -> list[str]:
    """Return the command line of a server that keeps its data in a folder; `fsync` is its `appendfsync`."""
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": fsync,
        "save": "",
        "maxmemory-policy": "noeviction",
        "enable-debug-command": "yes",
    }
    return [server_program(), *(text for name, value in options.items() for text in (f"--{name}", value))]


def router_environment(folder: Path, ledger: Path, *, redis_url: str, ops_port: int, ahead: float) -> dict[str, str]:
    """Return the environment of a router process whose clock is so many seconds `ahead`."""
    return {
        **plain_environment(),
        "PYTHONPATH": os.pathsep.join(_MODULES),
        "FAULTS_CLOCK": str(round(ahead)),
        "FAULTS_LEDGER": str(ledger),
        "FAULTS_STREAMS": " ".join(STREAMS),
        "ROUTER_DATA_DIR": str(folder / "data"),
        "ROUTER_REDIS__URL": redis_url,
        "ROUTER_REDIS__COMMAND_TIMEOUT": "2",
        "ROUTER_INGRESS__HOST": "127.0.0.1",
        "ROUTER_INGRESS__STORE_TIMEOUT": "1.5",
        "ROUTER_OPS__PORT": str(ops_port),
        "ROUTER_SECRETS__VISMA_NET_FINANCIAL": SECRET,
        "ROUTER_SECRETS__VISMA_NET_JOURNAL_TRANSACTION": SECRET,
        "ROUTER_WORKERS__LEASE": str(LEASE),
        "ROUTER_LOG__FORMAT": "json",
    }


def plain_environment() -> dict[str, str]:
    """Return our environment without what would change a server or a router; a server needs a locale that exists."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"LC_ALL": "C", "PYTHONUTF8": "1"}


def fast_disk() -> Path | None:
    """Return the folder of a disk in memory that has room for a long run, if there is one."""
    disk = Path("/dev/shm")
    with contextlib.suppress(OSError):
        if shutil.disk_usage(disk).free > _ROOM:
            return disk
    return None
