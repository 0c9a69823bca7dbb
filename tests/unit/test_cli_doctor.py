"""`doctor`: what can be wrong with an installation, and what to do about it."""

from pathlib import Path
from typing import Any

import pytest
from support.cli import Cli, Terminal

from config.settings import RedisSettings, Settings
from router.catalogue import Catalogue
from router.cli.checks import Check, judge_publishers, judge_server
from router.cli.doctor import _print
from router.store import Store

GOOD = {
    "redis_version": "7.2.4",
    "valkey_version": "9.1.2",
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "maxmemory": 1_000_000_000,
    "used_memory": 100_000_000,
}
FINANCIAL = "visma-net-financial"


def _states(info: dict[str, Any], *, embedded: bool = False) -> dict[str, str]:
    return {check.name: check.state for check in judge_server(info, embedded=embedded)}


def test_good_server() -> None:
    """A server that is as it has to be passes all checks, and none has an advice."""
    checks = list(judge_server(GOOD, embedded=False))
    assert [check.state for check in checks] == ["ok"] * 4
    assert checks[0].detail == "Valkey 9.1.2"
    assert all(check.advice == "" for check in checks)


@pytest.mark.parametrize(
    ("change", "name", "state"),
    [
        ({"redis_version": "6.2.14"}, "server version", "failed"),
        ({"redis_version": "unreadable"}, "server version", "failed"),
        ({"maxmemory_policy": "allkeys-lru"}, "eviction policy", "failed"),
        ({"aof_enabled": 0}, "append-only file", "failed"),
        ({"aof_last_write_status": "err"}, "append-only file", "failed"),
        ({"maxmemory": 0}, "memory", "warning"),
        ({"used_memory": 900_000_000}, "memory", "warning"),
    ],
)
def test_bad_server(change: dict[str, Any], name: str, state: str) -> None:
    """Each fault is found, and what to do is said."""
    checks = {check.name: check for check in judge_server({**GOOD, **change}, embedded=False)}
    assert checks[name].state == state
    assert checks[name].advice
    assert [check.state for check in checks.values()].count("ok") == 3


def test_server_that_says_nothing() -> None:
    """A server that does not say that it is safe is not."""
    assert [state for state in _states({}).values() if state == "failed"] == ["failed"] * 3


def test_embedded_server_needs_no_limit() -> None:
    """The embedded server has the machine's memory."""
    assert _states({**GOOD, "maxmemory": 0}, embedded=True)["memory"] == "ok"


def _publishers(catalogue: Catalogue, **values: Any) -> dict[str, tuple[str, str]]:
    settings = Settings(redis=RedisSettings(url="redis://x"), **values)
    checks = judge_publishers(settings, catalogue)
    return {check.name.removeprefix("publisher "): (check.state, check.detail) for check in checks}


def test_publishers(catalogue: Catalogue) -> None:
    """A publisher without a secret is refused everything: a failure only where nobody else may send."""
    assert {state for state, _ in _publishers(catalogue).values()} == {"failed"}
    found = _publishers(catalogue, secrets={FINANCIAL: ("a", "b")})
    assert found[FINANCIAL] == ("ok", "2 secrets")
    assert found["visma-net-journal-transaction"][0] == "warning"


def test_unsigned_is_loud(catalogue: Catalogue) -> None:
    """A publisher that may send unsigned is never ok, even with a secret."""
    state, detail = _publishers(catalogue, secrets={FINANCIAL: ("a",)}, allow_unsigned=(FINANCIAL,))[FINANCIAL]
    assert state == "warning"
    assert "ALLOWS UNSIGNED" in detail


def test_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is well: exit code 0; every check is told, as a table or as an object."""

    async def info(self: Store, commands: Any) -> list[Any]:
        return [GOOD]

    monkeypatch.setattr(Store, "commands", info)
    monkeypatch.setenv("ROUTER_SECRETS__VISMA_NET_FINANCIAL", "x")
    report = cli.json("doctor")
    assert report["ok"] is True
    assert [check["name"] for check in report["checks"]][:2] == ["settings", "catalogue"]
    assert {"name", "state", "detail", "advice"} == set(report["checks"][0])
    assert "OK" in cli.ok("doctor")


def test_cluster(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server of a Cluster is judged."""

    async def info(self: Store, commands: Any) -> list[Any]:
        return [{"a:1": GOOD, "b:1": {**GOOD, "aof_enabled": 0}}]

    monkeypatch.setattr(Store, "commands", info)
    monkeypatch.setenv("ROUTER_SECRETS__VISMA_NET_FINANCIAL", "x")
    checks = cli.json("doctor", code=1)["checks"]
    assert [check["state"] for check in checks if check["name"] == "append-only file"] == ["ok", "failed"]


def test_no_data(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without data is a failed check that names it in full; it is not made."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    checks = {check["name"]: check for check in cli.json("doctor", code=1)["checks"]}
    assert checks["settings"]["detail"].endswith(f"data in {tmp_path}/data")
    assert (checks["store"]["state"], checks["store"]["detail"]) == ("failed", f"no data in {tmp_path}/data")
    assert "event-router up" in checks["store"]["advice"]
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal what was found and what to do about it are read as one text, in the terminal's width."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    _print([Check("a", "ok", "fine"), Check("memory", "warning", "is " + "very " * 12 + "full", "buy some")])
    lines = terminal.getvalue().splitlines()
    assert lines[2] == "OK       a: fine"
    assert lines[3].startswith("WARNING  memory: is very")
    assert lines[-1].endswith("full \N{RIGHTWARDS ARROW} buy some")
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("ROUTER_LOG__LEVEL", "loud", "settings"),
        ("ROUTER_PUBLISHERS_DIR", "nowhere", "catalogue"),
        ("ROUTER_REDIS__URL", "redis://:hidden@127.0.0.1:1", "store"),
    ],
)
def test_what_is_wrong(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, name: str
) -> None:
    """A fault ends with exit code 1; it is said where, and what to do, and no secret is shown."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    result = cli.run("doctor", "--json")
    assert result.exit_code == 1
    assert f'"name": "{name}"' in result.stdout
    assert "hidden" not in result.output
