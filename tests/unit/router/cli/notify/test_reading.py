"""Rules of `notify list`: what it says of each notifier, and that no URL shows."""

from pathlib import Path

import pytest
from support.cli import Cli
from support.notifying import incident

from router.store.client import Store
from workers.incidents import Incidents
from workers.notify import state
from workers.notify.reading import Notices

SETTINGS = """
[[notify]]
name = "chat"
kind = "slack"
url = "https://hooks.slack.com/services/T0/needle"
incidents = ["silence", "dead"]
[[notify]]
name = "mail"
kind = "smtp"
host = "mail.example.com"
from = "er@example.com"
to = ["ops@example.com", "boss@example.com"]
"""


@pytest.fixture
def filled(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a command line with two notifiers, one of which fails."""
    (tmp_path / "router.toml").write_text(SETTINGS)
    monkeypatch.setenv("ROUTER_CONFIG", str(tmp_path / "router.toml"))

    async def fill(store: Store) -> None:
        notices = Notices(store, "chat", 1.0)
        await notices.begin(0)
        await Incidents(store).open(incident("p/1"))
        await Incidents(store).open(incident("p/2"))
        await notices.more(1)
        for fields in (state.sent(1_796_000_000_000, ""), state.failed(1_796_000_060_000, 3, "no answer")):
            await state.note(store, "chat", fields)

    cli.fill(fill)
    return cli


def test_how_each_fares(filled: Cli) -> None:
    """Each is there in the order of the settings: what waits, when it was heard last, and why it is not heard now."""
    assert filled.json("notify", "list") == [
        {
            "name": "chat",
            "kind": "slack",
            "to": "hooks.slack.com",
            "incidents": ["silence", "dead"],
            "state": "failing",
            "waiting": 2,
            "sent_at": "2026-11-30T00:53:20.000Z",
            "failed_at": "2026-11-30T00:54:20.000Z",
            "failures": 3,
            "error": "no answer",
        },
        {
            "name": "mail",
            "kind": "smtp",
            "to": "ops@example.com, boss@example.com",
            "incidents": ["*"],
            "state": "new",
            "waiting": None,
            "sent_at": None,
            "failed_at": None,
            "failures": 0,
            "error": None,
        },
    ]


def test_the_table_shows_no_url(filled: Cli) -> None:
    """People get a table with the host alone."""
    said = filled.ok("notify", "list")
    assert "needle" not in said
    assert said.splitlines()[1].split()[:6] == ["chat", "slack", "hooks.slack.com", "silence,dead", "failing", "2"]


def test_none_is_said(cli: Cli) -> None:
    """Without a notifier the list is empty, and says how to make one."""
    assert cli.json("notify", "list") == []
    assert "set [[notify]]" in cli.run("notify", "list").stderr
