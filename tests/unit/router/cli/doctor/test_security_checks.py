"""What `doctor` says of secrets: how good they are, who may read them, and whether running processes have them."""

import os
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.cli import Cli

from config.settings import OpsSettings, RedisSettings, Settings
from config.sources import secret_files
from router.cli.doctor.checks import Ingress
from router.cli.doctor.probe import ask_ingresses
from router.cli.doctor.security_checks import judge_knowing, judge_secret_files, judge_secrets
from router.events.catalogue import Catalogue
from router.ingress.reload import IngressReload
from router.process.ops import OpsServer

SLUG = "visma-net-financial"


def settings(**values: Any) -> Settings:
    """Return settings of a server that is not the embedded one."""
    return Settings(redis=RedisSettings(url="redis://x"), **values)


def test_short_secrets_are_warned_of(catalogue: Catalogue) -> None:
    """A secret that could be found by trying is told without being shown."""
    (check,) = judge_secrets(settings(secrets={SLUG: "hunter2,dGVzdC1zZWNyZXQtMTIz"}), catalogue)
    assert (check.name, check.state) == (f"secrets of {SLUG}", "warning")
    assert check.detail.startswith("1 shorter than 16 bytes")
    assert "hunter2" not in str(check)
    assert not list(judge_secrets(settings(secrets={SLUG: "dGVzdC1zZWNyZXQtMTIz"}), catalogue))


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_files_that_others_may_use_are_warned_of(tmp_path: Path, mode: int, *, warned: bool) -> None:
    """A file with secrets is for its owner and group; one that is gone is not judged here."""
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(mode)
    checks = list(judge_secret_files([file, tmp_path / "gone"]))
    assert [check.name for check in checks] == ([f"secret file {file}"] if warned else [])


def test_which_files_hold_secrets(tmp_path: Path) -> None:
    """Those that are named for secrets or the token, and the settings file where it holds one itself."""
    file = tmp_path / "router.toml"
    environ = {"ROUTER_SECRETS__A_FILE": "/run/a", "ROUTER_OPS__TOKEN_FILE": "/run/token", "ROUTER_OPS__PORT": "1"}
    for toml, expected in [
        ("", []),
        ('[ops]\ntoken = ""\nport = 1', []),
        ('[secrets]\nb_file = "/run/b"', ["/run/b"]),
        ('[secrets]\nb = "x"', [str(file)]),
        ('[ops]\ntoken = "x"', [str(file)]),
        ("secrets = 1", []),
    ]:
        file.write_text(toml)
        assert [str(path) for path in secret_files(file, environ)] == [*expected, "/run/a", "/run/token"]


def test_an_ingress_that_did_not_reload_is_warned_of(catalogue: Catalogue, tmp_path: Path) -> None:
    """A file changed since an ingress read it, or another number of secrets, is told with what to do."""
    file = tmp_path / "secret"
    file.write_text("x")
    os.utime(file, (1000, 1000))
    now = settings(secrets={SLUG: "a,b"})
    held = {**dict.fromkeys(catalogue.publishers, 0), SLUG: 2}
    running = [
        Ingress("one", read_at=1001, secrets=held),
        Ingress("two", read_at=999, secrets=held),
        Ingress("three", read_at=1001, secrets={**held, SLUG: 1}),
        Ingress("which does not say"),
    ]
    checks = list(judge_knowing(now, catalogue, running, [file, tmp_path / "gone"]))
    assert [(check.name, check.state) for check in checks] == [
        ("secrets of one", "ok"),
        ("secrets of two", "warning"),
        ("secrets of three", "warning"),
    ]
    assert str(file) in checks[1].detail
    assert SLUG in checks[2].detail
    assert all("SIGHUP" in check.advice for check in checks[1:])


async def test_a_running_ingress_tells_what_it_knows(catalogue: Catalogue) -> None:
    """What ingress exports is what doctor reads, with the names of all publishers."""
    registry = CollectorRegistry()
    IngressReload(None, settings(secrets={SLUG: "a,b"}), catalogue, registry)  # type: ignore[arg-type]
    ops = OpsServer(OpsSettings(port=0), dict, registry, role="ingress", name="host 1")  # type: ignore[arg-type]
    port = await ops.start()
    try:
        (found,) = await ask_ingresses(Settings(ops=OpsSettings(port=port)))
    finally:
        await ops.stop()
    assert (found.name, found.secrets) == ("host 1", {**dict.fromkeys(catalogue.publishers, 0), SLUG: 2})
    assert (found.read_at or 0) > 1e9


def test_doctor_tells_it_all(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The checks of secrets and of the operations port are among those of the command."""
    file = tmp_path / "secret"
    file.write_text("short")
    file.chmod(0o644)
    monkeypatch.setenv("ROUTER_SECRETS__VISMA_NET_FINANCIAL_FILE", str(file))
    monkeypatch.setenv("ROUTER_OPS__HOST", "0.0.0.0")
    checks = {check["name"]: check for check in cli.json("doctor")["checks"]}
    assert "OPEN TO EVERYONE" in checks["operations port"]["detail"]
    assert {f"secrets of {SLUG}", f"secret file {file}"} <= checks.keys()
