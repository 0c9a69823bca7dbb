"""Rules of `init`: whatever is answered, what it writes can be used, shows no secret, and is there as a whole."""

import itertools
import json
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cli import Cli

from config.sources import load_settings
from router.events.catalogue import Catalogue
from workers.forward.making import check_forwards
from workers.modules.loading import load_subscriptions
from workers.notify.notifiers import check_notifiers

ROOT = Path(__file__).parents[5]
PUBLISHERS = (("visma-net-financial",), ("visma-net-erp-salesorderservice", "business-nxt"))
REDIS = ("embedded", "rediss://router:needle-redis@redis.example.com:6380/1")
TO = ("python", "https://crm.example/hooks/visma", "http://127.0.0.1:3000/hook")
NOTIFY = ("none", "teams", "slack", "webhook", "smtp", "smtp-login")
COMBINATIONS = [
    pytest.param(*each, marks=[] if number % 4 == number // 4 % 4 else [pytest.mark.long])
    for number, each in enumerate(itertools.product(TO, NOTIFY, PUBLISHERS, REDIS))
]
"""All of them; of the first two questions each pair is tried every time."""


def options(folder: Path, publishers: Sequence[str], redis: str, to: str, notify: str) -> list[str]:
    """Return the options of a combination; what is secret stands in files of `folder`."""
    (folder / "given").mkdir(exist_ok=True)
    files = {"url": "https://chat.example/needle-url", "password": "needle-password", "redis": redis}
    files |= {slug: f"needle-{slug}" for slug in publishers}
    for name, text in files.items():
        (folder / "given" / name).write_text(f"{text}\n")
    found = [part for slug in publishers for part in ("--publisher", slug, "--secret", f"{slug}={folder}/given/{slug}")]
    found += ["--redis", redis] if redis == "embedded" else ["--redis-file", f"{folder}/given/redis"]
    found += ["--to", to, "--notify", notify.partition("-")[0]]
    if notify.startswith("smtp"):
        found += [
            "--mail-host",
            "mail.example.com",
            "--mail-from",
            "er@example.com",
            "--mail-to",
            "a@b.example,c@d.example",
        ]
    if notify == "smtp-login":
        found += ["--mail-user", "er", "--mail-password-file", f"{folder}/given/password"]
    if notify in ("teams", "slack", "webhook"):
        found += ["--notify-url-file", f"{folder}/given/url"]
    return found


def written(folder: Path) -> dict[str, str]:
    """Return what is in a folder, without what was given."""
    files = (path for path in folder.rglob("*") if path.is_file() and "given" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text() for path in files if path.name != "log"}


@pytest.mark.parametrize(("to", "notify", "publishers", "redis"), COMBINATIONS)
def test_every_combination_can_be_used(
    cli: Cli, tmp_path: Path, to: str, notify: str, publishers: tuple[str, ...], redis: str
) -> None:
    """Settings, forwards, notifiers and the worker load, here and as containers have them; no secret is in the open."""
    said = cli.ok("init", *options(tmp_path, publishers, redis, to, notify))
    settings = load_settings(environ={})
    catalogue = Catalogue.for_settings(settings)
    assert settings.redis.url == redis
    assert [settings.secrets_for(slug) for slug in publishers] == [(f"needle-{slug}".encode(),) for slug in publishers]
    check_notifiers(settings.notify)
    streams = {f"{slug}/" for slug in publishers}
    made = check_forwards(settings, catalogue) if to != "python" else load_subscriptions(["my_worker.py"])
    assert [one for one in catalogue.select(*made[0].events) if not one.startswith(tuple(streams))] == []
    assert [notifier.kind for notifier in settings.notify] == ([] if notify == "none" else [notify.partition("-")[0]])
    files = written(Path())
    for name in ("router.toml", "compose.override.yaml"):
        assert "needle" not in files[name]
        assert "whsec_" not in files[name]
    assert "needle" not in said
    assert "whsec_" not in said
    secrets = list(Path("secrets").iterdir())
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    assert stat.S_IMODE(Path("secrets").stat().st_mode) == 0o700
    composed = yaml.safe_load(files["compose.override.yaml"])
    named = {name for service in composed["services"].values() for name in service.get("secrets", ())}
    assert named == composed["secrets"].keys() == {path.name for path in secrets}


@pytest.mark.parametrize("notify", ["none", "webhook"])
def test_doctor_accepts_it(cli: Cli, tmp_path: Path, notify: str) -> None:
    """`doctor` finds nothing wrong with the settings."""
    cli.ok("init", *options(tmp_path, PUBLISHERS[0], "embedded", TO[1], notify))
    checks = json.loads(cli.run("doctor", "--json").stdout)["checks"]
    of_settings = [
        c for c in checks if c["name"].startswith(("settings", "catalogue", "publisher", "notifier", "secret"))
    ]
    assert len(of_settings) >= 3
    assert {c["state"] for c in of_settings if "visma-net-financial" in c["name"] or "publisher" not in c["name"]} == {
        "ok"
    }


GOLDEN = """\
# The settings of the event router, made by `event-router init`. docs/settings.md has all others with their defaults; an
# environment variable overrides each, such as ROUTER_INGRESS__PORT.

[redis]
url_file = "secrets/redis-url"

[secrets]
visma-net-financial_file = "secrets/visma-net-financial"

[[forward]]
name = "receiver"
events = ["visma-net-financial/*"]
url = "http://127.0.0.1:3000/hook"
secret_file = "secrets/forward"
allow_private = ["127.0.0.0/8", "::1/128"]

[[notify]]
name = "ops"
kind = "smtp"
host = "mail.example.com"
from = "er@example.com"
to = ["a@b.example", "c@d.example"]
user = "er"
password_file = "secrets/notify-password"
"""

SERVICES: dict[str, Any] = {
    "ingress-a": {
        "environment": {
            "ROUTER_SECRETS__VISMA_NET_FINANCIAL_FILE": "/run/secrets/visma-net-financial",
            "ROUTER_REDIS__URL_FILE": "/run/secrets/redis-url",
        },
        "secrets": ["visma-net-financial", "redis-url"],
    },
    "worker": {
        "environment": {
            "ROUTER_REDIS__URL_FILE": "/run/secrets/redis-url",
            "ROUTER_PUBLISHERS": "visma-net-financial",
        },
        "secrets": ["redis-url"],
        "profiles": ["worker"],
    },
    "forward": {
        "environment": {
            "ROUTER_REDIS__URL_FILE": "/run/secrets/redis-url",
            "ROUTER_PUBLISHERS": "visma-net-financial",
            "ROUTER_FORWARD__RECEIVER__EVENTS": "visma-net-financial/*",
            "ROUTER_FORWARD__RECEIVER__URL": "http://host.docker.internal:3000/hook",
            "ROUTER_FORWARD__RECEIVER__SECRET_FILE": "/run/secrets/forward",
            "ROUTER_FORWARD__RECEIVER__ALLOW_PRIVATE": "172.16.0.0/12,192.168.0.0/16",
            "ROUTER_NOTIFY__OPS__KIND": "smtp",
            "ROUTER_NOTIFY__OPS__HOST": "mail.example.com",
            "ROUTER_NOTIFY__OPS__FROM": "er@example.com",
            "ROUTER_NOTIFY__OPS__TO": "a@b.example,c@d.example",
            "ROUTER_NOTIFY__OPS__USER": "er",
            "ROUTER_NOTIFY__OPS__PASSWORD_FILE": "/run/secrets/notify-password",
        },
        "secrets": ["redis-url", "forward", "notify-password"],
        "extra_hosts": ["host.docker.internal:host-gateway"],
    },
}


def test_what_it_writes(cli: Cli, tmp_path: Path) -> None:
    """The settings as people read them, and what each container has: the secrets of its role alone."""
    cli.ok("init", *options(tmp_path, PUBLISHERS[0], REDIS[1], TO[2], "smtp-login"))
    assert Path("router.toml").read_text() == GOLDEN
    composed = yaml.safe_load(Path("compose.override.yaml").read_text())
    services = composed["services"]
    assert {name: services[name] for name in SERVICES} == SERVICES
    assert services["ingress-a"] == services["ingress-b"] == services["cli"]
    assert composed["networks"] == {"back": {"internal": False}}
    assert composed["secrets"]["forward"] == {"file": "${SECRETS_DIR:-./secrets}/forward"}
    assert not Path("my_worker.py").exists()


@pytest.mark.parametrize(
    ("to", "runs", "command"),
    [
        ("python", "worker", "docker compose up --build --detach"),
        (TO[1], "forward", "docker compose --profile forward up --build --detach"),
    ],
)
def test_who_handles_events_in_containers(cli: Cli, tmp_path: Path, to: str, runs: str, command: str) -> None:
    """Events are handled by the service of compose.yaml for that, as its user of Redis, and by no other that starts."""
    Path("compose.yaml").write_text((ROOT / "compose.yaml").read_text())
    said = cli.ok("init", *options(tmp_path, PUBLISHERS[0], "embedded", to, "webhook"))
    assert f"sh deploy/make-secrets && {command}\n" in said
    base, added = (
        yaml.safe_load(Path(name).read_text())["services"] for name in ("compose.yaml", "compose.override.yaml")
    )
    profiles = {"forward"} if "--profile" in command else set()
    of = {name: {*base[name].get("profiles", ()), *added.get(name, {}).get("profiles", ())} for name in base}
    assert {name for name in ("worker", "forward") if not of[name] or of[name] & profiles} == {runs}
    assert {name for name, service in added.items() if "command" in service} == set()
    assert "ROUTER_NOTIFY__OPS__KIND" in added[runs]["environment"]
    assert "ROUTER_REDIS__URL_FILE" not in added[runs]["environment"]
    assert base["forward"]["environment"]["ROUTER_REDIS__URL_FILE"] == "/run/secrets/redis-url-forwarder"


@pytest.mark.parametrize(("to", "redis"), [("python", REDIS[1]), (TO[1], "embedded")])
def test_it_fits_the_file_that_it_overrides(cli: Cli, tmp_path: Path, to: str, redis: str) -> None:
    """Each service and network is one of compose.yaml, whose containers can read the secrets after make-secrets."""
    cli.ok("init", *options(tmp_path, PUBLISHERS[1], redis, to, "webhook"))
    base, added = (yaml.safe_load(file.read_text()) for file in (ROOT / "compose.yaml", Path("compose.override.yaml")))
    assert added["services"].keys() <= base["services"].keys()
    assert added.get("networks", {}).keys() <= base["networks"].keys()
    before = {path.name: path.read_text() for path in Path("secrets").iterdir()}
    subprocess.run(["sh", ROOT / "deploy" / "make-secrets", "secrets"], check=True, capture_output=True)
    for name, text in before.items():
        assert Path("secrets", name).read_text() == text
        assert stat.S_IMODE(Path("secrets", name).stat().st_mode) in (0o640, 0o644)


def test_defaults(cli: Cli) -> None:
    """With --yes alone: one publisher with a secret of its own, the embedded server, Python, and nobody hears."""
    said = cli.ok("init", "--yes")
    assert set(written(Path())) == {
        "router.toml",
        "my_worker.py",
        "compose.override.yaml",
        "secrets/visma-net-financial",
    }
    assert len(Path("secrets/visma-net-financial").read_text().strip()) >= 32
    assert "  event-router up my_worker.py\n" in said
    assert "Put the secrets that the portal shows into secrets/visma-net-financial." in said


@pytest.mark.parametrize(("host", "says"), [("http://127.0.0.1:3000", True), ("https://crm.example", False)])
def test_a_receiver_on_this_machine(cli: Cli, host: str, *, says: bool) -> None:
    """Of a receiver on this machine, and of no other, it says where it has to listen for containers."""
    said = cli.ok("init", "--yes", "--notify", "none", "--to", f"{host}/hook")
    assert ("not on 127.0.0.1 alone" in said) is says


def test_it_is_found_by_the_commands(cli: Cli) -> None:
    """What `init` wrote is what commands in that folder read."""
    cli.ok("init", "--yes", "--notify", "none", "--to", "https://crm.example/hook")
    assert [forward["name"] for forward in cli.json("forward", "list")] == ["receiver"]


def test_nothing_is_written_over(cli: Cli) -> None:
    """A file that is there is named, and nothing changes; with --force it is written over, and made secrets stay."""
    cli.ok("init", "--yes")
    before = written(Path())
    assert "router.toml, compose.override.yaml are there" in cli.fails(1, "init", "--yes")
    assert written(Path()) == before
    Path("router.toml").unlink()
    Path("compose.override.yaml").unlink()
    before = written(Path())
    assert "my_worker.py is there" in cli.fails(1, "init", "--yes")
    assert written(Path()) == before
    said = cli.ok("init", "--yes", "--force", "--to", "https://crm.example/hook")
    assert "kept secrets/visma-net-financial" in said
    after = written(Path())
    assert after["secrets/visma-net-financial"] == before["secrets/visma-net-financial"]
    assert "[[forward]]" in after["router.toml"]


def test_a_secret_that_is_there_is_not_replaced_unasked(cli: Cli, tmp_path: Path) -> None:
    """A given secret is written over another one only with --force."""
    cli.ok("init", "--yes")
    for name in ("router.toml", "my_worker.py", "compose.override.yaml"):
        Path(name).unlink()
    given = options(tmp_path, PUBLISHERS[0], "embedded", "python", "none")
    before = Path("secrets/visma-net-financial").read_text()
    assert "secrets/visma-net-financial" in cli.fails(1, "init", *given)
    assert Path("secrets/visma-net-financial").read_text() == before
    cli.ok("init", *given, "--force")
    assert Path("secrets/visma-net-financial").read_text() == "needle-visma-net-financial\n"


MAIL = ("--yes", "--notify", "smtp", "--mail-host", "mail", "--mail-from", "er@b.example", "--mail-to", "a@b.example")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--yes", "--to", "ftp://crm.example/"], 2, "--to: must be a URL"),
        (["--yes", "--to", "http://127.0.0.1:99999/hook"], 2, "--to: must be a URL"),
        (["--yes", "--to", "http://[::1/hook"], 2, "--to: must be a URL"),
        (["--yes", "--to", ""], 2, "--to: must be a URL"),
        (["--yes", "--redis", ""], 2, "--redis: must be embedded or a URL"),
        (["--yes", "--publisher", ""], 2, "--publisher: name one at least"),
        (["--yes", "--allow-private", "10.0.0.0/8x"], 2, "write it as 192.168.1.0/24"),
        (["--yes", "--to", "https://10.0.0.1/hook"], 2, "--allow-private"),
        (["--yes", "--to", "http://crm.example/hook"], 2, "in clear over http://: write https://"),
        (["--yes", "--to", "http://10.1.2.3/hook", "--allow-private", "10.2.0.0/16"], 2, "--allow-private"),
        (["--yes", "--redis", "http://redis.example"], 2, "redis"),
        (["--yes", "--publisher", "nobody"], 2, "no publisher nobody; there are visma-net-financial"),
        (["--yes", "--notify", "pager"], 2, "is none of none, teams, slack, webhook, smtp"),
        (["--yes", "--notify", "slack"], 2, "--notify slack needs --notify-url-file"),
        (["--yes", "--notify", "smtp", "--mail-host", "mail"], 2, "--notify smtp needs --mail-from, --mail-to"),
        ([*MAIL, "--mail-host", "mail:25"], 2, "--mail-host: must be the name or the address of a mail server"),
        ([*MAIL, "--mail-from", "ER <er@a.example>"], 2, "--mail-from: must be an address"),
        ([*MAIL, "--mail-to", "ops"], 2, "--mail-to: must be an address"),
        ([*MAIL, "--mail-user", "er"], 2, "a login needs --mail-password-file"),
        ([*MAIL, "--mail-password-file", "missing"], 2, "a login needs --mail-user"),
        (
            ["--yes", "--notify-url-file", "missing"],
            2,
            "--notify-url-file means nothing without --notify teams or slack or webhook",
        ),
        ([*MAIL, "--notify-url-file", "missing"], 2, "--notify-url-file means nothing with --notify smtp"),
        (
            ["--yes", "--mail-host", "mail", "--mail-to", "a@b.example"],
            2,
            "--mail-host, --mail-to mean nothing without",
        ),
        (["--yes", "--secret", "visma-net-financial=missing"], 2, "missing: cannot be read"),
        (["--yes", "--secret", "what"], 2, "is no SLUG=FILE"),
        (["--to", "python"], 2, "nobody can be asked: give --publisher, --redis, --notify, or --yes"),
    ],
)
def test_what_cannot_be_used_is_refused(cli: Cli, arguments: list[str], code: int, words: str) -> None:
    """One line says why, and nothing is left behind."""
    said = cli.fails(code, "init", *arguments)
    assert words in said
    assert said.count("\n") == 1
    assert written(Path()) == {}
    assert [path for path in Path().iterdir() if path.name.startswith(".init")] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://chat.example/needle",
        "https://10.0.0.1/needle",
        "https://169.254.169.254/needle",
        "https://needle:needle@chat.example/",
        "http://127.0.0.1:99999/needle",
        "https://chat.example./needle",
    ],
)
def test_who_hears_of_incidents_is_judged_as_a_receiver_is(cli: Cli, tmp_path: Path, url: str) -> None:
    """A URL that is refused as a receiver's is refused for the same reason as a channel's; no secret of it is shown."""
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "url").write_text(url)
    forward = cli.fails(2, "init", "--yes", "--to", url)
    said = cli.fails(2, "init", "--yes", "--notify", "slack", "--notify-url-file", str(tmp_path / "given" / "url"))
    assert said == forward.replace("--to:", "--notify-url-file:")
    assert "needle" not in said
    assert written(Path()) == {}


def test_a_secret_of_nobody_is_refused(cli: Cli, tmp_path: Path) -> None:
    """A secret is given for a publisher that is to send."""
    (tmp_path / "secret").write_text("needle")
    said = cli.fails(2, "init", "--yes", "--secret", f"business-nxt={tmp_path / 'secret'}")
    assert "--secret names business-nxt, which is no --publisher" in said


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_mail_server_on_this_machine(cli: Cli, host: str) -> None:
    """A mail server on this machine is not asked to encrypt, whose name no certificate has."""
    cli.ok("init", *MAIL, "--mail-host", host)
    assert not load_settings(environ={}).notify[0].starttls


def test_what_containers_do_not_reach_is_named(cli: Cli, tmp_path: Path) -> None:
    """A container that looks for a server on this machine finds itself: init says where the address stands."""
    (tmp_path / "url").write_text("http://127.0.0.1:9000/incidents")
    channel = ("--notify", "webhook", "--notify-url-file", str(tmp_path / "url"))
    said = cli.ok("init", "--yes", "--redis", "redis://user:needle@localhost:6379", *channel)
    assert "A container finds itself at localhost: give secrets/redis-url, secrets/notify-url an address" in said
    assert "the mail server" in cli.ok("init", "--force", *MAIL, "--mail-host", "localhost")
    assert "A container" not in cli.ok("init", "--force", "--yes", "--redis", "redis://redis:6379")


def test_another_folder(cli: Cli, tmp_path: Path) -> None:
    """What is written elsewhere works from here, and the next commands name it."""
    folder = tmp_path / "else where"
    said = cli.ok("init", "--yes", "--folder", str(folder), "--to", "https://crm.example/hook")
    settings = load_settings(folder / "router.toml", {})
    assert settings.secrets_for("visma-net-financial")
    assert f"event-router --config '{folder}/router.toml' up" in said


def test_what_is_refused_leaves_nothing_elsewhere(cli: Cli) -> None:
    """A folder that was made for it is gone again, and the message names the file as it would have been."""
    said = cli.fails(2, "init", "--yes", "--folder", "new", "--to", "https://10.0.0.1/hook")
    assert ".init-" not in said
    assert not Path("new").exists()


def test_private_networks_are_allowed_when_named(cli: Cli) -> None:
    """A receiver at a private address is reached where its network is named."""
    cli.ok("init", "--yes", "--to", "https://10.0.0.1/hook", "--allow-private", "10.0.0.0/8")
    [forward] = load_settings(environ={}).forward
    assert [str(network) for network in forward.allow_private] == ["10.0.0.0/8"]


def test_texts_of_any_kind_are_quoted(cli: Cli) -> None:
    """A dollar begins no variable of compose, and a quote ends no text."""
    url = "https://crm.example/hook?a=$HOME&b='c'"
    cli.ok("init", "--yes", "--to", url)
    assert load_settings(environ={}).forward[0].url == url
    composed = yaml.safe_load(Path("compose.override.yaml").read_text())
    assert composed["services"]["forward"]["environment"]["ROUTER_FORWARD__RECEIVER__URL"] == url.replace("$", "$$")


def test_as_json(cli: Cli) -> None:
    """A script gets what was written, and no secret."""
    found = cli.json("init", "--yes")
    assert found["files"] == ["router.toml", "my_worker.py", "compose.override.yaml"]
    [secret] = found["secrets"]
    assert secret == {
        "file": "secrets/visma-net-financial",
        "what": "what visma-net-financial signs with",
        "given": False,
    }
    assert found["next"][0] == "event-router up my_worker.py"
