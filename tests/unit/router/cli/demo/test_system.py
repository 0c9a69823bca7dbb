"""The system that the demo runs."""

from pathlib import Path

import pytest

from router.cli.demo.system import DemoSystem
from router.embedded.access import EMBEDDED


def test_it_keeps_to_a_server_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings of the folder in which the demo is run, or of the environment, lead it to no server that is in use."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "router.toml").write_text('[redis]\nurl = "redis://in-use:6379"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROUTER_REDIS__URL", "redis://in-use:6379")
    settings = DemoSystem(tmp_path)._settings
    assert (settings.redis.url, settings.data_dir) == (EMBEDDED, tmp_path / "data")
