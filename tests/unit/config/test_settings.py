"""Rules of the settings: where they come from, what is refused, and that no secret shows."""

import contextlib
import re
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

import config.settings
from config.erp import ErpSettings
from config.errors import ConfigError
from config.forward import ForwardSettings
from config.notify import NotifySettings
from config.reconcile import ReconcileSettings
from config.settings import IngressSettings, Settings
from config.sources import load_settings
from config.urls import redact_url

PACKAGED = Path(config.settings.__file__).with_name("router.toml")
Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load from a TOML text and an environment, both empty unless given."""

    def load(toml: str = "", environ: Mapping[str, str] | None = None) -> Settings:
        file = tmp_path / "router.toml"
        file.write_text(toml)
        return load_settings(file, environ or {})

    return load


def refusal(load: Load, *arguments: object) -> str:
    """Return the message that the settings are refused with."""
    with pytest.raises(ConfigError) as caught:
        load(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_packaged_file_agrees_with_the_defaults() -> None:
    """Every setting stands in the packaged file, commented out, with the default that holds without it."""
    listed = tomllib.loads(re.sub(r"^# (?=[a-z_]+ = )", "", PACKAGED.read_text(), flags=re.MULTILINE))
    assert Settings(**listed) == Settings() == load_settings(PACKAGED, {})
    assert listed.keys() == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            assert listed[name].keys() == type(field.default).model_fields.keys()
    assert listed["erp"]["visma-net-financial"].keys() == ErpSettings.model_fields.keys()
    assert listed["reconcile"]["customers"].keys() == ReconcileSettings.model_fields.keys()
    assert listed["forward"][0].keys() == ForwardSettings.model_fields.keys()
    assert listed["notify"][0].keys() == {field.alias or name for name, field in NotifySettings.model_fields.items()}


def test_every_setting_in_the_packaged_file_is_explained() -> None:
    """Above every setting stands a sentence."""
    lines = PACKAGED.read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"# [a-z_]+ = ", line):
            assert re.match(r"# .*[.]$", before), line


def test_environment_beats_file_beats_default(load: Load) -> None:
    """Each value comes from the strongest source that has it, and the sources mix within a section."""
    found = load("[ingress]\nport = 1\nkeepalive = 2", {"ROUTER_INGRESS__PORT": "3"})
    assert (found.ingress.port, found.ingress.keepalive, found.ingress.max_body) == (3, 2, 1_048_576)


def test_plain_settings_come_from_the_environment(load: Load) -> None:
    """Settings outside a section are named without a double underscore."""
    found = load("", {"ROUTER_DATA_DIR": "/var/x", "ROUTER_PUBLISHERS_DIR": "p", "ROUTER_ALLOW_UNSIGNED": "a-b, c"})
    assert (found.data_dir, found.publishers_dir) == (Path("/var/x"), Path("p"))
    assert found.allow_unsigned == ("a-b", "c")


def test_lists_are_comma_separated_in_the_environment(load: Load) -> None:
    """A list is written with commas in the environment and as an array in the file."""
    networks = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("192.0.2.1"))
    from_environment = load("", {"ROUTER_INGRESS__ALLOW": "10.0.0.0/8, 2001:db8::/32,192.0.2.1"})
    from_file = load('[ingress]\nallow = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]')
    assert from_environment.ingress.allow == from_file.ingress.allow == networks


def test_empty_and_foreign_variables_are_ignored(load: Load) -> None:
    """An empty variable counts as unset, and names that are nobody's settings are left alone."""
    environ = {"ROUTER_INGRESS__PORT": "", "ROUTER_SERVICE_HOST": "10.0.0.1", "ROUTER_PARENT_FD": "3", "PATH": "/bin"}
    assert load("", environ) == Settings()


def test_level_and_format_may_be_capitals(load: Load) -> None:
    """DEBUG is debug."""
    assert load("", {"ROUTER_LOG__LEVEL": "DEBUG", "ROUTER_LOG__FORMAT": "Json"}).log.level == "debug"


def test_file_is_chosen_by_argument_variable_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument beats ROUTER_CONFIG, that ./router.toml, that ./config/router.toml, and that the packaged file."""
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}) == Settings()
    for port, name in ((1, "config/router.toml"), (2, "named.toml"), (3, "given.toml")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"[ops]\nport = {port}")
    assert load_settings(environ={}).ops.port == 1
    (tmp_path / "router.toml").write_text("[ops]\nport = 5")
    assert load_settings(environ={}).ops.port == 5
    assert load_settings(environ={"ROUTER_CONFIG": "named.toml"}).ops.port == 2
    assert load_settings(Path("given.toml"), {"ROUTER_CONFIG": "named.toml"}).ops.port == 3
    monkeypatch.setenv("ROUTER_OPS__PORT", "4")
    assert load_settings().ops.port == 4


def test_settings_made_directly_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only load_settings looks at the environment."""
    monkeypatch.setenv("ROUTER_OPS__PORT", "4")
    monkeypatch.setenv("DATA_DIR", "elsewhere")
    assert Settings(ingress=IngressSettings(port=1)).ops.port == 9090
    assert Settings().data_dir == Path("data")


def test_settings_are_frozen() -> None:
    """Nobody changes a setting after the start."""
    with pytest.raises(ValidationError):
        Settings().ingress.port = 1
    with pytest.raises(ValidationError):
        Settings().data_dir = Path()


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("[ingress]\nprot = 1", ["ingress.prot: unknown setting", "max_body, port, processes"]),
        ("[ingres]\nport = 1", ["ingres: unknown setting", "ingress, log, notify, ops"]),
        ("port = 1", ["port: unknown setting"]),
        ("[ingress]\nport = 65536", ["ingress.port = '65536': must be a whole number from 0 to 65535"]),
        ("[ingress]\nport = 1.5", ["ingress.port = '1.5': must be a whole number from 0 to 65535"]),
        ("[ingress]\nmax_body = 0", ["ingress.max_body = '0': must be a whole number above 0"]),
        ("[ingress]\nport = -1\nprocesses = 0", ["ingress.port = '-1'", "; ", "ingress.processes = '0'"]),
        ("[ingress]\nprocesses = 0", ["ingress.processes = '0': must be a whole number of at least 1"]),
        ("[ingress]\nbody_timeout = 0", ["ingress.body_timeout = '0': must be a number above 0"]),
        ("[ingress]\nbody_timeout = inf", ["ingress.body_timeout = 'inf': must be a number above 0"]),
        ('[ingress]\nbody_timeout = "soon"', ["ingress.body_timeout = 'soon': must be a number above 0"]),
        ("[retention]\ndead_letters_age = -1", ["dead_letters_age = '-1': must be a number of at least 0"]),
        ('[redis]\nallow_eviction = "perhaps"', ["redis.allow_eviction = 'perhaps': must be true or false"]),
        ('[ingress]\nhost = ""', ["ingress.host = '': must not be empty"]),
        ("[ingress]\nallow = 1", ["ingress.allow = '1': must be a list"]),
        ('[ingress]\nallow = ["10.0.0.0/8", "10.0.0.1/8"]', ["ingress.allow = '10.0.0.1/8': must be a network"]),
        ('[redis]\nprefix = "a b"', ["redis.prefix = 'a b'", "A-Za-z0-9"]),
        ('[log]\nlevel = "loud"', ["log.level = 'loud': must be 'debug', 'info', 'warning'"]),
        ("redis = 1", ["redis = '1': is a section"]),
        ("publishers_dir = 1", ["publishers_dir = '1': must be a path"]),
        ("[ingress", ["not a TOML file"]),
    ],
)
def test_wrong_file_is_refused(load: Load, tmp_path: Path, toml: str, parts: list[str]) -> None:
    """What the file has wrong is named with file, key, value and what is allowed."""
    message = refusal(load, toml)
    assert all(part in message for part in [str(tmp_path / "router.toml"), *parts]), message


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("ROUTER_INGRESS__PORT", "http", "ROUTER_INGRESS__PORT = 'http': must be a whole number from 0 to 65535"),
        ("ROUTER_WORKERS__PREFETCH", "many", "ROUTER_WORKERS__PREFETCH = 'many': must be a whole number above 0"),
        ("ROUTER_INGRESS__PROT", "1", "ROUTER_INGRESS__PROT: unknown setting"),
        ("ROUTER_INGRES__PORT", "1", "ROUTER_INGRES__PORT: unknown setting"),
        ("ROUTER_DATA_DIR__X", "1", "ROUTER_DATA_DIR__X: unknown setting"),
        ("ROUTER_REDIS", "redis://h", "ROUTER_REDIS: a section"),
    ],
)
def test_wrong_variable_is_refused(load: Load, name: str, value: str, part: str) -> None:
    """A wrong value or a misspelt name in the environment is named as the variable."""
    assert part in refusal(load, "[ingress]\nkeepalive = 1", {name: value})


def test_no_message_is_that_of_the_library(load: Load) -> None:
    """Whatever kind of value a setting is given, the message says in our words what it takes."""
    values = ("-1", "1.5", "true", '"x"', "[1]", "[[1]]", "{a = 1}", "1979-05-27", '"' + "1" * 5000 + '"')
    for name, field in Settings.model_fields.items():
        keys = type(field.default).model_fields if isinstance(field.default, BaseModel) else [""]
        for toml in (f"[{name}]\n{key} = {value}" if key else f"{name} = {value}" for key in keys for value in values):
            with contextlib.suppress(ConfigError):  # some values are fine
                load(toml)
                continue
            message = refusal(load, toml)
            assert not re.search(r"(?i)input|valid (integer|number|string|boolean|tuple)|class", message), message


def test_absent_file_is_refused() -> None:
    """A file that was asked for and cannot be read is an error, not a default."""
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        load_settings(Path("absent.toml"), {})


@pytest.mark.parametrize(
    "url",
    [
        "embedded",
        "redis://localhost:6379/0",
        "rediss://:password@h",
        "unix:///run/redis.sock",
        "redis+sentinel://a:1,b:2/mymaster/0",
        "redis+cluster://a:1,b:2",
    ],
)
def test_known_redis_urls_are_taken(load: Load, url: str) -> None:
    """Every documented form of the address is taken as it is."""
    assert load("", {"ROUTER_REDIS__URL": url}).redis.url == url


@pytest.mark.parametrize("url", ["http://u:hunter2@h", "localhost:6379", "redis://", "u:hunter2@h", "Embedded"])
def test_other_redis_urls_are_refused(load: Load, url: str) -> None:
    """Anything else is refused, without showing a password."""
    message = refusal(load, "", {"ROUTER_REDIS__URL": url})
    assert "ROUTER_REDIS__URL" in message
    assert "redis+cluster://" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://me:pw@h:1/0", "redis://me:***@h:1/0"),
        ("redis://:p@w/?#@h", "redis://:***@h"),
        ("redis://pw@h", "redis://***@h"),
        (
            "redis+sentinel://:pw@a:1,b:2/m?sentinel_password=pw&db=1",
            "redis+sentinel://:***@a:1,b:2/m?sentinel_password=***&db=1",
        ),
        ("embedded", "embedded"),
    ],
)
def test_passwords_are_removed_from_urls(url: str, shown: str) -> None:
    """A URL is shown without its passwords, wherever they stand."""
    assert redact_url(url) == shown


def test_secrets_come_from_a_variable(load: Load) -> None:
    """Secrets are a comma-separated list, found by the slug however it is spelt."""
    found = load("", {"ROUTER_SECRETS__VISMA_NET_FINANCIAL": "one, två"})
    assert found.secrets_for("visma-net-financial") == (b"one", "två".encode())
    assert found.secrets_for("Visma_Net-Financial") == found.secrets_for("visma-net-financial")
    assert found.secrets_for("other") == ()


def test_secrets_come_from_a_file(load: Load, tmp_path: Path) -> None:
    """A file has one secret a line; blank lines, comments and a byte order mark are no part of them."""
    file = tmp_path / "secret"
    file.write_text("\ufeffone,still one\r\n\n# old:\n  two  \n", encoding="utf-8")
    variable = {"ROUTER_SECRETS__VISMA_NET_FINANCIAL_FILE": str(file)}
    assert load("", variable).secrets_for("visma-net-financial") == (b"one,still one", b"two")
    in_file = f'[secrets]\nvisma-net-financial_file = "{file}"'
    assert load(in_file).secrets_for("visma-net-financial") == (b"one,still one", b"two")


def test_secrets_of_the_environment_replace_those_of_the_file(load: Load) -> None:
    """A publisher's secrets come from the strongest source that has any; other publishers keep theirs."""
    toml = '[secrets]\nvisma-net = "old"\nother = ["a", "b"]'
    found = load(toml, {"ROUTER_SECRETS__VISMA_NET": "new"})
    assert found.secrets_for("visma-net") == (b"new",)
    assert found.secrets_for("other") == (b"a", b"b")


def test_variable_and_file_of_one_publisher_add_up(load: Load, tmp_path: Path) -> None:
    """Both forms in one source give all the secrets, as a rotation wants."""
    file = tmp_path / "secret"
    file.write_text("two")
    found = load("", {"ROUTER_SECRETS__A": "one", "ROUTER_SECRETS__A_FILE": str(file)})
    assert set(found.secrets_for("a")) == {b"one", b"two"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        (b"", "holds no secret"),
        (b"# only\n", "holds no secret"),
        (b" \r\n\t\n", "holds no secret"),
        (b"\xef\xbb\xbf", "holds no secret"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_unusable_secret_file_is_refused(load: Load, tmp_path: Path, content: bytes | None, reason: str) -> None:
    """An unreadable or empty secret file is named with its variable."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    message = refusal(load, "", {"ROUTER_SECRETS__VISMA_NET_FILE": str(file)})
    assert message.startswith(f"ROUTER_SECRETS__VISMA_NET_FILE: {file} {reason}")


@pytest.mark.parametrize("value", ['","', "[]", "[1]", "1", '"  "', '["  "]', '["a", ""]', '["a", "\\t\\n"]'])
def test_secret_that_is_none_is_refused(load: Load, value: str) -> None:
    """A publisher that is given no usable secret is an error, not one that accepts an empty key."""
    assert "secrets.visma: holds no secret" in refusal(load, f"[secrets]\nvisma = {value}")


def test_secret_in_another_encoding_is_refused_unseen(load: Load, tmp_path: Path) -> None:
    """UTF-16 without its mark is UTF-8 full of NULs: a secret that nobody signs with, so it is told at the start."""
    file = tmp_path / "secret"
    file.write_bytes("hunter2".encode("utf-16-le"))
    message = refusal(load, "", {"ROUTER_SECRETS__VISMA_NET_FILE": str(file)})
    assert "holds characters that no secret has" in message
    assert "h\0u" not in message


def test_blanks_around_a_secret_are_none_of_it(load: Load) -> None:
    """Wherever a secret is written, what stands around it is not signed with."""
    assert load('[secrets]\na = [" one ", "two\\t"]').secrets_for("a") == (b"one", b"two")
    assert load("", {"ROUTER_SECRETS__A": " one\n"}).secrets_for("a") == (b"one",)


@pytest.mark.parametrize("value", [",", " ", " , ,"])
@pytest.mark.parametrize("name", ["ROUTER_INGRESS__ALLOW", "ROUTER_INGRESS__TRUSTED_PROXIES"])
def test_list_of_networks_that_came_out_empty_is_refused(load: Load, name: str, value: str) -> None:
    """`$A,$B` with neither set must not let everyone in; no list at all is what says that."""
    assert f"{name} = {value!r}: names no network" in refusal(load, "", {name: value})
    assert load("[ingress]\nallow = []").ingress.allow == ()


@pytest.mark.parametrize("value", ["0.0.0.0/0", "::/0", "10.0.0.0/8,::/0"])
def test_not_everyone_is_a_trusted_proxy(load: Load, value: str) -> None:
    """Were every address believed, anyone could claim to be anyone, and the allow list would be for nothing."""
    message = refusal(load, "", {"ROUTER_INGRESS__TRUSTED_PROXIES": value})
    assert "must not be every address" in message


def test_variable_with_one_underscore_is_refused(load: Load) -> None:
    """A slip that would leave a check undone is told; what Kubernetes sets for a service of that name is not ours."""
    for section, key in (("INGRESS", "ALLOW"), ("OPS", "TOKEN"), ("INGRESS", "PORT"), ("REDIS", "URL")):
        assert f"write ROUTER_{section}__{key}" in refusal(load, "", {f"ROUTER_{section}_{key}": "10.0.0.1"})
    kubernetes = {"ROUTER_INGRESS_PORT": "tcp://10.0.0.1:80", "ROUTER_INGRESS_SERVICE_HOST": "10.0.0.1"}
    assert load("", kubernetes) == Settings()


def test_misplaced_secrets_are_refused_unseen(load: Load) -> None:
    """A secret in the wrong place is refused without being shown."""
    for toml in ('secrets = "hunter2"', '[secrets]\nvisma = [""]', '[secret]\nvisma = "hunter2"'):
        assert "hunter2" not in refusal(load, toml)


def test_secrets_never_show() -> None:
    """Neither the text nor the JSON of the settings contains a secret."""
    found = Settings(secrets={"visma-net": "hunter2"})
    assert found.secrets_for("visma-net") == (b"hunter2",)
    assert "hunter2" not in repr(found) + str(found) + found.model_dump_json()


TOKEN = "0123456789abcdef0123"


def test_operations_token_comes_from_variable_or_file(load: Load, tmp_path: Path) -> None:
    """The token is set as itself or by a file of one line, in the environment or the settings file; none by default."""
    file = tmp_path / "token"
    file.write_text(f"\ufeff  {TOKEN} \n", encoding="utf-8")
    sources: list[tuple[str, dict[str, str]]] = [
        ("", {"ROUTER_OPS__TOKEN": f" {TOKEN}\n"}),
        ("", {"ROUTER_OPS__TOKEN_FILE": str(file)}),
        (f'[ops]\ntoken = "{TOKEN}"', {}),
        (f'[ops]\ntoken_file = "{file}"', {}),
        ('[ops]\ntoken = "another-that-is-weaker"', {"ROUTER_OPS__TOKEN": TOKEN}),
    ]
    for toml, environ in sources:
        token = load(toml, environ).ops.token
        assert token is not None
        assert token.get_secret_value() == TOKEN
    assert load("", {"ROUTER_OPS__TOKEN": "", "ROUTER_OPS__TOKEN_FILE": ""}).ops.token is None
    assert load('[ops]\ntoken = ""').ops.token is None


@pytest.mark.parametrize("value", ["short", "   ", "with blank in between", "æøå" * 6, "x" * 513, "line\nbreak" * 4])
def test_unusable_token_is_refused_unseen(load: Load, tmp_path: Path, value: str) -> None:
    """A token that could be guessed, or that no header can carry, is refused, and the message does not show it."""
    message = refusal(load, "", {"ROUTER_OPS__TOKEN": value})
    assert message.startswith("ROUTER_OPS__TOKEN: must be a text of 16 to 512")
    assert value not in message


def test_wrong_kinds_of_tokens_are_refused_unseen(load: Load) -> None:
    """A number or a list is no token, and is not shown either."""
    for value in ("1234567890123456789", '["abcdefghijklmnopqrst"]', "{a = 1}", "true"):
        assert value not in refusal(load, f"[ops]\ntoken = {value}")


def test_unusable_token_file_is_refused(load: Load, tmp_path: Path) -> None:
    """A file that is missing, empty or of several lines never leaves the operations port open; nor do two tokens."""
    file = tmp_path / "token"
    variable = {"ROUTER_OPS__TOKEN_FILE": str(file)}
    assert "cannot be read" in refusal(load, "", variable)
    file.write_text("\n")
    assert "holds no secret" in refusal(load, "", variable)
    file.write_text(f"{TOKEN}\n{TOKEN}")
    assert "holds 2 lines" in refusal(load, "", variable)
    file.write_text(TOKEN)
    assert "set only one" in refusal(load, "", {**variable, "ROUTER_OPS__TOKEN": TOKEN})


def test_token_never_shows(load: Load) -> None:
    """Neither the text nor the JSON of the settings contains the token."""
    found = load("", {"ROUTER_OPS__TOKEN": TOKEN})
    assert TOKEN not in repr(found) + str(found) + found.model_dump_json()


def test_unsigned_publishers_match_by_slug() -> None:
    """Allowing an unsigned publisher follows the same spelling rules as its secrets."""
    found = Settings(allow_unsigned=["Visma_Net"])
    assert found.allows_unsigned("visma-net")
    assert not found.allows_unsigned("visma")
