"""What every process tells of itself: `router/telemetry/identity.py`."""

from importlib.metadata import PackageNotFoundError, version
from platform import python_version

import pytest

from router.telemetry import identity
from router.telemetry.identity import new_registry


def test_a_process_tells_its_build_and_its_use_of_the_machine() -> None:
    """Which version runs, in which role, and memory, CPU time and open files are told from the start."""
    registry = new_registry("ingress")
    labels = {"version": version("visma-event-router"), "python": python_version(), "role": "ingress"}
    assert registry.get_sample_value("event_router_build_info", labels) == 1
    assert (registry.get_sample_value("process_resident_memory_bytes") or 0) > 1_000_000
    assert registry.get_sample_value("process_cpu_seconds_total") is not None


def test_registries_are_apart() -> None:
    """Two of them in one process do not get in each other's way."""
    assert new_registry("ingress") is not new_registry("worker")


def test_a_checkout_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a distribution the version is unknown, and nothing fails."""

    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(identity, "version", missing)
    labels = {"version": "unknown", "python": python_version(), "role": "worker"}
    assert new_registry("worker").get_sample_value("event_router_build_info", labels) == 1
