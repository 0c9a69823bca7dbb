"""The settings of silence: from the file and the environment, each checked by name."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.silence import SilenceSettings
from config.sources import load_settings


def load(tmp_path: Path, text: str = "", **variables: str) -> SilenceSettings:
    """Load settings from a file with this section, and these variables."""
    file = tmp_path / "router.toml"
    file.write_text(f"[silence]\n{text}")
    return load_settings(file, {f"ROUTER_SILENCE__{name}": value for name, value in variables.items()}).silence


def test_what_is_usual() -> None:
    """Without a word it is learnt, of publishers and companies, by the clock and the holidays of Norway."""
    usual = load_settings(environ={}).silence
    assert usual == SilenceSettings()
    assert (usual.after_for("p"), usual.after_for("p/7"), usual.zone, usual.holidays) == (
        "learnt",
        "learnt",
        "Europe/Oslo",
        ("NO",),
    )


def test_times(tmp_path: Path) -> None:
    """A publisher or a company has a time of its own, or that of all publishers or companies."""
    text = 'after = "26h"\ncompanies = "off"\nown = { "p" = "4h", "p/7" = "learnt" }\nholidays = ["se", "12-31"]'
    found = load(tmp_path, text)
    assert [found.after_for(name) for name in ("q", "q/1", "p", "p/7")] == [93_600, "off", 14_400, "learnt"]
    assert found.holidays == ("SE", "12-31")


def test_the_environment(tmp_path: Path) -> None:
    """All of it can be set by variables, the times of some as pairs."""
    found = load(tmp_path, AFTER="90", OWN="p=4h, p/7=off", HOLIDAYS="NO,2026-05-15", ENABLED="false", EVERY="2m")
    assert (found.after, found.own, found.enabled, found.every) == (90, {"p": 14_400, "p/7": "off"}, False, 120)
    assert found.holidays == ("NO", "2026-05-15")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('after = "soon"', "silence.after = 'soon': must be a time such as 26h, or learnt, or off"),
        ("after = 0", "must be a time such as 26h"),
        ("after = true", "must be a time such as 26h"),
        ('after = "400d"', "must be a time such as 26h"),
        ("after = [1]", "must be a time such as 26h"),
        ('own = { "a b" = "4h" }', "is no publisher, nor PUBLISHER/COMPANY"),
        ('own = { "a" = "never" }', "must be a time such as 26h"),
        ('holidays = ["XX"]', "must be countries"),
        ('holidays = ["02-30"]', "must be countries"),
        ('zone = "Oslo"', "must be a time zone"),
        ("every = 0", "must be a number above 0"),
        ("quiet = 1", "unknown setting"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, line: str, error: str) -> None:
    """A value that is not allowed is named, with what is."""
    with pytest.raises(ConfigError, match=error.replace("(", r"\(")):
        load(tmp_path, line)
