"""The settings of forwards: from the file and the environment, each checked by the forward's name, no secret shown."""

import base64
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.settings import Settings
from config.sources import load_settings, secret_files

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(32, 64))).decode()
CRM = f"""
[[forward]]
name = "crm"
events = ["*/customer_*"]
url = "https://crm.example/hooks/visma"
secret = "{SECRET}"
"""


def load(tmp_path: Path, text: str = CRM, **variables: str) -> Settings:
    """Load settings from a file with this text, and these variables."""
    file = tmp_path / "router.toml"
    file.write_text(text)
    return load_settings(file, {f"ROUTER_FORWARD__{name}": value for name, value in variables.items()})


def secrets_of(settings: Settings, number: int = 0) -> list[str]:
    """Return the secrets of a forward."""
    return [secret.get_secret_value() for secret in settings.forward[number].secrets]


def test_a_forward(tmp_path: Path) -> None:
    """A forward has the options of a subscription, and times with their unit; by default each is as there."""
    text = CRM + (
        'key = "resource"\ncoalesce = { quiet = "5s", within = "1m" }\nlimit = { rate = 10, window = "1s" }\n'
        'breaker = { failures = 3 }\nretry = { max_attempts = 3 }\nallow_private = ["10.0.0.0/8"]\n'
    )
    [crm] = load(tmp_path, text).forward
    assert (crm.coalesce.quiet, crm.coalesce.within) == (5, 60)  # type: ignore[union-attr]
    assert (crm.limit.rate, crm.limit.window) == (10, 1)  # type: ignore[union-attr]
    assert (crm.breaker.failures, crm.breaker.interval) == (3, 10)  # type: ignore[union-attr]
    assert (crm.retry.max_attempts, crm.retry.first_delay) == (3, 2)
    assert (crm.host, crm.format, crm.concurrency, crm.timeout) == ("crm.example", "cloudevents", 32, 30)
    [plain] = load(tmp_path).forward
    assert (plain.key, plain.coalesce, plain.limit, plain.per_company) == (None, None, None, None)
    assert plain.breaker is not None


def test_none_is_set(tmp_path: Path) -> None:
    """The packaged file has one in which nothing is set, which is none."""
    assert load_settings(environ={}).forward == ()
    assert load(tmp_path, "[[forward]]\n").forward == ()


def test_secrets_in_files_and_texts(tmp_path: Path) -> None:
    """A forward has all secrets that are named, in whichever spelling; a file has one a line."""
    (tmp_path / "one").write_text(f"# new\n{SECRET}\n{OTHER}\n")
    (tmp_path / "two").write_text(OTHER)
    base = CRM.replace(f'secret = "{SECRET}"', "{}")
    one, two = tmp_path / "one", tmp_path / "two"
    assert secrets_of(load(tmp_path, base.format(f'secret_file = "{one}"', ""))) == [SECRET, OTHER]
    found = load(tmp_path, base.format(f'secret_files = ["{two}", "{one}"]\nsecrets = ["{SECRET}"]'))
    assert secrets_of(found) == [SECRET, OTHER, SECRET, OTHER]
    assert set(secret_files(tmp_path / "router.toml", {})) == {tmp_path / "router.toml", one, two}


def test_the_environment(tmp_path: Path) -> None:
    """A variable overrides a setting of the forward that it names, also one of a table within, or makes another."""
    (tmp_path / "rotated").write_text(OTHER)
    found = load(
        tmp_path,
        CRM.replace('"crm"', '"CRM-eu.1"'),
        CRM_EU_1__URL="http://other/",
        CRM_EU_1__SECRET_FILE=str(tmp_path / "rotated"),
        CRM_EU_1__RETRY__MAX_ATTEMPTS="2",
        CRM_EU_1__BREAKER="false",
        CRM_EU_1__ALLOW_PRIVATE="10.0.0.0/8, 127.0.0.0/8",
        NEW__URL="https://new.example/",
        NEW__EVENTS="a/*,b/*",
        NEW__SECRETS=f"{SECRET},{OTHER}",
    )
    first, new = found.forward
    assert (first.name, first.url, first.retry.max_attempts, first.breaker) == ("CRM-eu.1", "http://other/", 2, None)
    assert secrets_of(found) == [OTHER]
    assert len(first.allow_private) == 2
    assert (new.name, new.events, secrets_of(found, 1)) == ("new", ("a/*", "b/*"), [SECRET, OTHER])


@pytest.mark.parametrize("name", ["CRM", "__URL", "CRM__", "CRM____URL"])
def test_a_variable_that_names_no_setting(tmp_path: Path, name: str) -> None:
    """It is refused, and says how to name one."""
    with pytest.raises(ConfigError, match="set one of its settings, as in"):
        load(tmp_path, **{name: "1"})


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('name = "a b"', "forward 'a b': name = 'a b': must be 1 to 60 letters"),
        ("events = []", "forward 'crm' has no events: set events"),
        ('url = ""', "forward 'crm' has no url: set url"),
        ('url = "ftp://x/"', "forward 'crm': url = 'ftp://x/': must be a URL such as"),
        ('url = "https://me:pw@x/"', "must hold no user and no password"),
        ('secret = "short"', "forward 'crm': secrets.0: must be whsec_ and 24 to 64 random bytes"),
        ("secrets = [1]", "forward.crm.secrets: holds no secret"),
        ('secret_file = "missing"', "forward.crm.secret_file: missing cannot be read"),
        ('format = "xml"', "forward 'crm': format = 'xml': must be 'cloudevents' or 'raw'"),
        ('after_dead = "hold"', "forward 'crm' has after_dead = \"hold\" and no key: set key"),
        ("coalesce = { quiet = 1, within = 2 }", "forward 'crm' has coalesce and no key"),
        ("coalesce = { quiet = 3, within = 2 }", "forward 'crm': coalesce: must have quiet <= within"),
        ("limit = { rate = 1, headers = 'x' }", "forward 'crm': limit: must have rate, or headers"),
        ("limit = { window = 1 }", "forward 'crm': limit: must have rate, or headers"),
        ("retry = { max_attempts = 0 }", "forward 'crm': retry.max_attempts = '0': must be a whole number above 0"),
        ("retry = { attempts = 1 }", "forward 'crm': retry.attempts: unknown setting; known are first_delay"),
        ("colour = 1", "forward 'crm': colour: unknown setting; known are after_dead"),
        ("concurrency = 0", "forward 'crm': concurrency = '0': must be a whole number"),
        ("timeout = -1", "must be a number above 0"),
        ('headers = { "Webhook-Id" = "1" }', "'Webhook-Id' is set by the forward itself"),
        ('headers = { "a b" = "1" }', "'a b' is no name of a header"),
        ('headers = { a = "x\\ny" }', "holds characters that a header cannot have"),
        ('allow_private = ["10"]', "forward 'crm': allow_private.0 = '10': must be a network"),
        ('client_key = "k"', "forward 'crm' has a client_key and no client_cert"),
        ('per_company = 1\nfair_by = ""', "forward 'crm' has per_company: that takes fair_by"),
    ],
)
def test_a_value_that_cannot_be(tmp_path: Path, line: str, error: str) -> None:
    """The message is one line that names the forward and what is wrong, and never a secret."""
    name = line.partition(" ")[0]
    kept = [each for each in CRM.splitlines() if not each.startswith(f"{name} ")]
    if name.startswith("secret"):
        kept = [each for each in kept if not each.startswith("secret")]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "\n".join([*kept, line]))
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "pw@" not in str(caught.value)


def test_two_of_one_name(tmp_path: Path) -> None:
    """Each forward has a name of its own, and one without says which it is."""
    with pytest.raises(ConfigError, match="forward 'crm' is there twice: give each a name of its own"):
        load(tmp_path, CRM + CRM)
    with pytest.raises(ConfigError, match="forward number 2 has no name: set name"):
        load(tmp_path, CRM + CRM.replace('name = "crm"', ""))


@pytest.mark.parametrize("text", ["forward = 1", '[forward]\nname = "crm"', "forward = [1]"])
def test_what_is_no_list_of_tables(tmp_path: Path, text: str) -> None:
    """Single brackets, or another value, are refused."""
    with pytest.raises(ConfigError, match="forward"):
        load(tmp_path, text)


def test_no_secret_shows(tmp_path: Path) -> None:
    """Neither settings nor their text repeat a secret, or the value of a header."""
    found = load(tmp_path, CRM + 'headers = { Authorization = "Bearer abc-def" }\n')
    assert SECRET not in repr(found)
    assert "abc-def" not in repr(found)
