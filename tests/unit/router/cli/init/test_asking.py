"""Rules of `init` on a terminal: five questions, of which options answer some, and no secret is seen."""

import sys
from pathlib import Path

import pytest
from support.cli import Cli

from config.sources import load_settings


@pytest.fixture
def terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a command line whose input says that it is a terminal; what is hidden there is read like the rest."""
    monkeypatch.setattr("typer.prompt", _prompt)
    monkeypatch.setattr("router.cli.init.command.sys", _Terminal)
    return cli


class _Input:
    @staticmethod
    def isatty() -> bool:
        """Say so."""
        return True


class _Terminal:
    stdin = _Input


def _prompt(text: str, default: str | None = None, **_: object) -> str:
    sys.stderr.write(f"{text}: ")
    answer = sys.stdin.readline().strip()
    return answer or default or ""


def test_all_questions(terminal: Cli) -> None:
    """Each answer is asked for, a wrong one again, and what is pressed Enter at is the default."""
    answers = ["nobody", "visma-net-financial, business-nxt", "s3cret", "", "http://redis", "redis://redis:6379"]
    answers += [
        "crm.example",
        "http://crm.example/h",
        "https://crm.example/h",
        "pager",
        "slack",
        "what",
        "http://hooks.slack.com/services/needle",
        "https://10.0.0.1/services/needle",
        "https://hooks.slack.com/services/needle",
    ]
    result = terminal.run("init", stdin="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    settings = load_settings(environ={})
    assert settings.secrets_for("visma-net-financial") == (b"s3cret",)
    assert len(settings.secrets_for("business-nxt")[0]) >= 32
    assert (settings.redis.url, settings.forward[0].url) == ("redis://redis:6379", "https://crm.example/h")
    assert settings.notify[0].kind == "slack"
    assert "nobody: unknown; known are visma-net-financial" in result.stderr
    assert "crm.example would be sent to in clear" in result.stderr
    assert "'pager' is none of none, teams" in result.stderr
    assert "hooks.slack.com would be sent to in clear" in result.stderr
    assert "10.0.0.1, a private address" in result.stderr
    assert "needle" not in result.output
    assert "s3cret" not in result.output


def test_mail_is_asked_for(terminal: Cli) -> None:
    """A mail server takes a few words more, and each that could not be used is asked for again."""
    mail = ["smtp", "mail.example.com:25", "mail.example.com", "ER <er@example.com>", "er@example.com", "a, b"]
    mail += ["", "a@example.com, b@example.com", "er", "", "hunter2"]
    result = terminal.run("init", stdin="\n".join(["", "", "", "", *mail]) + "\n")
    assert result.exit_code == 0, result.output
    [notifier] = load_settings(environ={}).notify
    assert (notifier.host, notifier.to, notifier.user) == ("mail.example.com", ("a@example.com", "b@example.com"), "er")
    assert Path("secrets/notify-password").read_text() == "hunter2\n"
    assert "hunter2" not in result.output


def test_options_answer(terminal: Cli) -> None:
    """What an option says is not asked."""
    options = ("--publisher", "visma-net-financial", "--redis", "embedded", "--to", "python", "--notify", "none")
    result = terminal.run("init", *options, stdin="\n")
    assert result.exit_code == 0, result.output
    assert [line[0] for line in result.stderr.splitlines() if line[:1].isdigit()] == ["2"]


def test_nobody_is_asked_in_vain(terminal: Cli) -> None:
    """A file in the way is said before the first question."""
    Path("router.toml").touch()
    assert terminal.fails(1, "init", stdin="").startswith("event-router: router.toml is there: add --force")


def test_yes_asks_nothing(terminal: Cli) -> None:
    """With --yes nobody is asked on a terminal either."""
    assert terminal.run("init", "--yes").stderr == ""
