"""What every process tells of itself: a name that no other has, which build it is, and what it takes of the machine."""

import os
import secrets
import socket
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from prometheus_client import CollectorRegistry, GCCollector, Info, ProcessCollector

_DISTRIBUTION = "visma-event-router"


def process_name() -> str:
    """Return host, process id and a random part: a restarted process on the same host has another name.

    It is what a worker is called among the consumers of its groups.
    """
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def new_registry(role: str) -> CollectorRegistry:
    """Return a registry of a process's own metrics; `role` is ingress, worker or console."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    build = Info("event_router_build", "The version of the router and of Python; always 1.", registry=registry)
    build.info({"version": own_version(), "python": python_version(), "role": role})
    return registry


def own_version() -> str:
    """Return the version of the router that is installed."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
