"""The URL of the store, kept in a file of its own: as containers are given it, with the password in it."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.sources import load_settings

URL = "redis://er-ingress:hunter2@redis:6379/0"


def settings_file(folder: Path, text: str = "") -> Path:
    """Write a settings file."""
    file = folder / "router.toml"
    file.write_text(text)
    return file


def test_the_url_comes_from_a_file(tmp_path: Path) -> None:
    """The file is named by a variable or in the settings, and the variable is the stronger of the two."""
    url = tmp_path / "url"
    url.write_text(f"{URL}\n")
    named = settings_file(tmp_path, f'[redis]\nurl_file = "{url}"')
    assert load_settings(named, {}).redis.url == URL
    plain = settings_file(tmp_path, '[redis]\nurl = "redis://other"\nprefix = "mine"')
    found = load_settings(plain, {"ROUTER_REDIS__URL_FILE": str(url)}).redis
    assert (found.url, found.prefix) == (URL, "mine")
    assert load_settings(plain, {"ROUTER_REDIS__URL_FILE": ""}).redis.url == "redis://other"


@pytest.mark.parametrize("text", [None, "", f"{URL}\n{URL}", "http://er:hunter2@redis"])
def test_an_unusable_file_is_refused_unseen(tmp_path: Path, text: str | None) -> None:
    """A file that is missing, empty, of several lines or holds no such URL is an error, and no password is shown."""
    url = tmp_path / "url"
    if text is not None:
        url.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(settings_file(tmp_path), {"ROUTER_REDIS__URL_FILE": str(url)})
    assert "ROUTER_REDIS__URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_two_urls_are_refused(tmp_path: Path) -> None:
    """Who sets the URL twice is asked which one is meant."""
    url = tmp_path / "url"
    url.write_text(URL)
    both = {"ROUTER_REDIS__URL_FILE": str(url), "ROUTER_REDIS__URL": "redis://other"}
    with pytest.raises(ConfigError, match="set only one"):
        load_settings(settings_file(tmp_path), both)
