"""The settings of an ERP: from the file, the environment and files of their own; off until set."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.settings import Settings
from config.sources import load_settings, secret_files

SECTION = "ROUTER_ERP__VISMA_NET_FINANCIAL__"
FILE = """
[erp.visma-net-financial]
base_url = "https://erp.example/v"
client_id = "c1"
client_secret = "from the file"
"""


def load(tmp_path: Path, text: str = FILE, **variables: str) -> Settings:
    """Load settings from a file with this text, and these variables of the ERP."""
    file = tmp_path / "router.toml"
    file.write_text(text)
    return load_settings(file, {SECTION + name: value for name, value in variables.items()})


def test_off_until_set(tmp_path: Path) -> None:
    """Without settings nothing is fetched; with a base, a client and its secret it is, as for no other publisher."""
    assert load_settings(environ={}).erp == {}
    assert Settings().erp_for("visma-net-financial").missing == ("base_url", "client_id", "client_secret")
    settings = load(tmp_path)
    assert settings.erp_for("visma-net-financial").missing == ()
    assert settings.erp_for("business-nxt").missing


def test_a_base_ends_with_a_slash(tmp_path: Path) -> None:
    """Paths are written behind the base, so it ends with a slash whatever the operator wrote."""
    assert load(tmp_path).erp_for("visma-net-financial").base_url == "https://erp.example/v/"


def test_the_environment_is_stronger_one_by_one(tmp_path: Path) -> None:
    """A variable overrides one setting of one publisher, and leaves the others of the file."""
    erp = load(tmp_path, CLIENT_ID="c2", TIMEOUT="3").erp_for("visma-net-financial")
    assert (erp.client_id, erp.timeout, erp.base_url) == ("c2", 3.0, "https://erp.example/v/")
    assert erp.client_secret is not None
    assert erp.client_secret.get_secret_value() == "from the file"


@pytest.mark.parametrize("slug", ["visma-net-financial", "visma_net_financial", "Visma-Net-Financial"])
def test_a_secret_in_a_file_of_its_own(tmp_path: Path, slug: str) -> None:
    """The secret may be in a file, named by a setting or a variable; doctor knows of that file."""
    secret = tmp_path / "secret"
    secret.write_text(" s3cret \n")
    text = f'[erp.{slug}]\nclient_secret_file = "{secret}"\n'
    for settings in (load(tmp_path, text), load(tmp_path, FILE, CLIENT_SECRET_FILE=str(secret))):
        found = settings.erp_for("visma-net-financial").client_secret
        assert found is not None
        assert found.get_secret_value() == "s3cret"
    named = {SECTION + "CLIENT_SECRET_FILE": str(secret)}
    assert secret in secret_files(tmp_path / "router.toml", named)
    load(tmp_path)
    assert secret_files(tmp_path / "router.toml", {}) == (tmp_path / "router.toml",)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"BASE_URL": "ftp://erp.example"}, "BASE_URL = 'ftp://erp.example': must be a URL"),
        ({"BASE_URL": "erp.example"}, "must be a URL"),
        ({"BASE_URL": "https://"}, "must be a URL"),
        ({"BASE_URL": "https://user:pass@erp.example"}, "neither a user nor a query"),
        ({"BASE_URL": "https://erp.example/?x=1"}, "neither a user nor a query"),
        ({"BASE_URL": "https://erp.example/#x"}, "neither a user nor a query"),
        ({"BASE_URL": "https://erp.example:99999"}, "must be a URL"),
        ({"BASE_URL": "https://[::1"}, "must be a URL"),
        ({"TOKEN_URL": "https:/connect"}, "TOKEN_URL"),
        ({"TIMEOUT": "0"}, "TIMEOUT = '0': must be a number above 0"),
        ({"CONNECTIONS": "0"}, "must be a whole number above 0"),
        ({"CLIENT": "x"}, "CLIENT: unknown setting; known are background_wait, base_url, client_id"),
        ({"CLIENT_SECRET_FILE": "/no/such/file"}, "CLIENT_SECRET_FILE: /no/such/file cannot be read"),
    ],
)
def test_what_is_refused(tmp_path: Path, variables: dict[str, str], message: str) -> None:
    """A wrong setting is named as it was set, with its value and what is allowed."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, **variables)
    assert message in str(raised.value)
    assert "pass" not in str(raised.value)


def test_a_secret_is_never_repeated(tmp_path: Path) -> None:
    """Neither a wrong secret nor one beside a wrong setting is in a message, or in what shows the settings."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, FILE.replace('"from the file"', "12345678"), TIMEOUT="x")
    assert "12345678" not in str(raised.value)
    assert "from the file" not in repr(load(tmp_path))


def test_a_variable_of_a_section_is_no_setting() -> None:
    """A variable that stops before the setting is an error that says how to go on."""
    for name in ("ROUTER_ERP", "ROUTER_ERP__VISMA_NET_FINANCIAL"):
        with pytest.raises(ConfigError, match=f"{name}: a section, not a setting"):
            load_settings(environ={name: "x"})


def test_a_file_names_its_wrong_setting(tmp_path: Path) -> None:
    """A wrong setting of the file is named with the file."""
    with pytest.raises(ConfigError, match=r"router\.toml: erp\.visma_net_financial\.max_body = '0'"):
        load(tmp_path, "[erp.visma-net-financial]\nmax_body = 0\n")
    with pytest.raises(ConfigError, match=r"router\.toml: erp\.visma_net_financial = 'x': is a section"):
        load(tmp_path, 'erp.visma-net-financial = "x"\n')
