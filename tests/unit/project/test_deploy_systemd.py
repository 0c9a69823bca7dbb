"""What the units of deploy/systemd promise."""

from collections import defaultdict
from pathlib import Path

import pytest

from config.settings import Settings

UNITS = Path(__file__).parents[3] / "deploy/systemd"
INGRESS, WORKER = "event-router-ingress.service", "event-router-worker@.service"
FORWARD = "event-router-forward.service"
HARDENED = {
    "CapabilityBoundingSet": "",
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateTmp": "yes",
    "ProtectHome": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectSystem": "strict",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
}


def read(name: str) -> dict[str, list[str]]:
    """Return the values of each key of a unit."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (UNITS / name).read_text().splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith(("#", "[")):
            found[key].append(value)
    return found


@pytest.mark.parametrize("name", [INGRESS, WORKER, FORWARD])
def test_units_are_hardened(name: str) -> None:
    """Neither process is root, gains a right, or writes where it need not; secrets are files."""
    unit = read(name)
    assert unit["User"] == ["event-router"]
    assert {key: unit[key][0] for key in HARDENED} == HARDENED
    variables = dict(line.split("=", 1) for line in unit["Environment"])
    assert all(name.endswith("_FILE") for name in variables if "SECRET" in name or "TOKEN" in name or "URL" in name)


@pytest.mark.parametrize(("name", "final"), [(INGRESS, ["2"]), (WORKER, []), (FORWARD, ["2"])])
def test_units_are_kept_running(name: str, final: list[str]) -> None:
    """A process that ends is started again; an ingress that refuses its settings is not, but 2 may be a handler's."""
    unit = read(name)
    assert unit["Restart"] == ["always"]
    assert unit.get("RestartPreventExitStatus", []) == final


def test_units_are_given_the_time_they_need_to_stop() -> None:
    """An orderly stop takes as long as the settings allow, and nobody is killed before."""
    assert int(read(INGRESS)["TimeoutStopSec"][0]) > 2 * Settings().ingress.shutdown_timeout
    for name in (WORKER, FORWARD):
        assert int(read(name)["TimeoutStopSec"][0]) > Settings().workers.shutdown_timeout


def test_ingress_keeps_its_spool() -> None:
    """The spool is in a folder that systemd makes for it and keeps."""
    unit = read(INGRESS)
    assert unit["StateDirectory"] == ["event-router"]
    assert "ROUTER_DATA_DIR=/var/lib/event-router" in unit["Environment"]
