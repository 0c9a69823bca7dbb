"""Rules of `[[notify]]`: what each kind needs, what is refused by the notifier's name, and that no secret shows."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.notify import NotifySettings
from config.sources import load_settings, secret_files

TEAMS = "https://prod-01.westeurope.logic.azure.com/workflows/needle/triggers/manual/paths/invoke?sig=needle"


def load(folder: Path, toml: str = "", environ: Mapping[str, str] | None = None) -> tuple[NotifySettings, ...]:
    """Return the notifiers of a settings file."""
    file = folder / "router.toml"
    file.write_text(toml)
    return load_settings(file, environ or {}).notify


def test_each_kind_is_read(tmp_path: Path) -> None:
    """Each kind takes what it needs, with the usual values for the rest."""
    teams, slack, webhook, mail = load(
        tmp_path,
        f"""
[[notify]]
name = "chat"
kind = "teams"
url = "{TEAMS}"
[[notify]]
name = "slack"
kind = "slack"
url = "https://hooks.slack.com/services/T/B/needle"
incidents = ["silence", "dead*"]
zone = "Europe/Oslo"
[[notify]]
name = "any"
kind = "webhook"
url = "http://10.1.2.3/hook"
allow_private = ["10.0.0.0/8"]
secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
every = "10m"
[[notify]]
name = "mail"
kind = "smtp"
host = "mail.example.com"
user = "router"
password = "needle"
from = "router@example.com"
to = ["ops@example.com", "boss@example.com"]
""",
    )
    assert teams.url is not None
    assert teams.url.get_secret_value() == TEAMS
    assert (teams.every, teams.fresh, teams.timeout) == (60, 86_400, 10)
    assert [slack.wants(kind) for kind in ("silence", "dead", "deaf")] == [True, True, False]
    assert (slack.zone, webhook.every, len(webhook.secrets)) == ("Europe/Oslo", 600, 1)
    assert (mail.sender, mail.to, mail.mail_port) == (
        "router@example.com",
        ("ops@example.com", "boss@example.com"),
        587,
    )
    assert "needle" not in repr((teams, slack, webhook, mail))


def test_secrets_come_from_files(tmp_path: Path) -> None:
    """URL, password and signing secrets may stand in files of their own, which `doctor` looks at."""
    for name, text in {
        "url": TEAMS,
        "secret": "\n".join(["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"] * 2),
        "word": "hunter2",
    }.items():
        (tmp_path / name).write_text(f"{text}\n")
    toml = f"""
[[notify]]
name = "any"
kind = "webhook"
url_file = "{tmp_path / "url"}"
secret_file = "{tmp_path / "secret"}"
[[notify]]
name = "mail"
kind = "smtp"
host = "localhost"
user = "router"
password_file = "{tmp_path / "word"}"
from = "router@example.com"
to = ["ops@example.com"]
"""
    webhook, mail = load(tmp_path, toml)
    assert webhook.url is not None
    assert mail.password is not None
    assert (webhook.url.get_secret_value(), len(webhook.secrets)) == (TEAMS, 2)
    assert mail.password.get_secret_value() == "hunter2"
    found = secret_files(tmp_path / "router.toml", {})
    assert {file.name for file in found} == {"url", "secret", "word"}


def test_variables_override_by_name(tmp_path: Path) -> None:
    """A variable names a notifier by its name, and can make one alone."""
    (tmp_path / "url").write_text(TEAMS)
    environ = {"ROUTER_NOTIFY__OPS_CHAT__URL_FILE": str(tmp_path / "url"), "ROUTER_NOTIFY__OPS_CHAT__EVERY": "5m"}
    [found] = load(tmp_path, '[[notify]]\nname = "ops-chat"\nkind = "teams"\n', environ)
    assert (found.name, found.every) == ("ops-chat", 300)
    alone = {
        "ROUTER_NOTIFY__MAIL__KIND": "smtp",
        "ROUTER_NOTIFY__MAIL__HOST": "localhost",
        "ROUTER_NOTIFY__MAIL__FROM": "a@example.com",
        "ROUTER_NOTIFY__MAIL__TO": "b@example.com,c@example.com",
        "ROUTER_NOTIFY__MAIL__STARTTLS": "false",
    }
    [found] = load(tmp_path, "", alone)
    assert (found.name, found.to, found.mail_port) == ("mail", ("b@example.com", "c@example.com"), 25)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('kind = "teams"', "notify 'ops' has no url: kind teams needs url_file or url"),
        ('url = "https://example.com/needle"', "notify 'ops' has no kind: set teams, slack, webhook or smtp"),
        ('kind = "pager"', "notify 'ops': kind = 'pager': must be"),
        ('kind = "webhook"\nurl = "https://example.com/needle"', "needs secret_file or secret"),
        ('kind = "teams"\nurl = "ftp://example.com/needle"', "notify 'ops': url: must be"),
        ('kind = "teams"\nurl = "https://needle:needle@example.com/"', "notify 'ops': url: must"),
        ('kind = "teams"\nurl = "http://example.com/needle"', "notify 'ops' has an http:// URL"),
        ('kind = "teams"\nurl = "https://example.com/"\nhost = "mail"', "has host: that means nothing for kind teams"),
        ('kind = "smtp"\nhost = "mail"\nfrom = "a@example.com"', "has no to: kind smtp needs to"),
        ('kind = "smtp"\nhost = "mail:25"', "notify 'ops': host = 'mail:25': must be"),
        ('kind = "smtp"\nfrom = "a@example.com\\nBcc: b@example.com"', "notify 'ops': from = "),
        ('kind = "smtp"\nto = ["a@example.com", "Bob <b@example.com>"]', "notify 'ops': to: must be an address"),
        ('kind = "smtp"\nto = ["ø@example.com"]', "notify 'ops': to: must be an address"),
        ('kind = "smtp"\nhost="mail"\nfrom="a@b.c"\nto=["a@b.c"]\nuser="u"', "set both, or none"),
        (
            'kind = "smtp"\nhost="mail"\nfrom="a@b.c"\nto=["a@b.c"]\nuser="u"\npassword="needle"\nstarttls=false',
            "would send its password without encryption",
        ),
        ('kind = "teams"\nzone = "Europe/Nowhere"', "notify 'ops': zone = 'Europe/Nowhere': must be a time zone"),
        ('kind = "teams"\nurls = "x"', "notify 'ops': urls: unknown setting; known are "),
        ('kind = "teams"\nevery = "soon"', "notify 'ops': every = 'soon': must be a number"),
    ],
)
def test_what_is_wrong_is_said_by_name(tmp_path: Path, lines: str, message: str) -> None:
    """The message names the notifier and the setting, and says what to do; it repeats no secret."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f'[[notify]]\nname = "ops"\n{lines}\n')
    assert message in str(caught.value)
    assert "needle" not in str(caught.value)


def test_names_are_needed_and_their_own(tmp_path: Path) -> None:
    """A notifier without a name is refused by its place, and so is a name given twice, as variables spell it."""
    with pytest.raises(ConfigError, match=r"notify number 1 has no name"):
        load(tmp_path, f'[[notify]]\nkind = "teams"\nurl = "{TEAMS}"\n')
    both = "".join(f'[[notify]]\nname = "{name}"\nkind = "teams"\nurl = "{TEAMS}"\n' for name in ("a-b", "A_b"))
    with pytest.raises(ConfigError, match="there twice"):
        load(tmp_path, both)


def test_there_is_none_by_default() -> None:
    """The packaged file names none."""
    assert load_settings(environ={}).notify == ()
