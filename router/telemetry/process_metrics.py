"""What every process tells of itself: which build it is, and what it takes of the machine."""

from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from prometheus_client import CollectorRegistry, GCCollector, Info, ProcessCollector

_DISTRIBUTION = "visma-event-router"


def new_registry(role: str) -> CollectorRegistry:
    """Return a registry of a process's own metrics; `role` is ingress, worker or console."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    build = Info("event_router_build", "The version of the router and of Python; always 1.", registry=registry)
    build.info({"version": _version(), "python": python_version(), "role": role})
    return registry


def _version() -> str:
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
