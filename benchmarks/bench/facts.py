"""What a figure depends on: the machine, the versions, the settings."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bench.peers import PINS
from bench.servers import OPTIONS, server_program

__all__ = ["facts"]

_OURS = ("aiohttp", "hiredis", "msgspec", "pydantic", "redis", "uvloop")
_PEERS = (
    "arq",
    "coredis",
    "fastapi",
    "faststream",
    "httptools",
    "pydocket",
    "streaq",
    "taskiq",
    "taskiq-redis",
    "uvicorn",
)


def facts() -> dict[str, str]:
    """Return what is worth to know of where and with what it is measured, by its name."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": f"{os.cpu_count()} × {_processor()}",
        "load before": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "server": f"{_said(server_program(), '--version')}; {' '.join(OPTIONS)}",
        "wrk": _said("wrk", "--version").partition("Copyright")[0].strip() or "not installed",
        "node": _said("node", "--version") or "not installed",
        "ours": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _OURS),
        "peers": ", ".join([*_pinned(), *_pinned_of_node()]),
        "commit": _said("git", "-C", str(PINS), "describe", "--always", "--dirty"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _said(program: str, *arguments: str) -> str:
    """Return the first line of what a program says; nothing where it is not there."""
    if shutil.which(program) is None:
        return ""
    done = subprocess.run((program, *arguments), capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def _pinned() -> list[str]:
    pins = dict[str, str]()
    for file in ("python.txt", "arq.txt", "docket.txt"):
        for line in (PINS / file).read_text().splitlines():
            name, equal, version = line.partition("==")
            if equal and name in _PEERS:
                pins[name] = version.split()[0]
    return [f"{name} {pins[name]}" for name in _PEERS if name in pins]


def _pinned_of_node() -> list[str]:
    needed = json.loads((PINS / "package.json").read_text())["dependencies"]
    return [f"{name} {version}" for name, version in needed.items()]
