"""The secrets that `up` makes, and which ones count."""

import stat
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from config.settings import Settings
from router.ingress.signing_secrets import make_secrets, secrets_of

SLUG = "visma-net-financial"


def settings(tmp_path: Path, url: str = "embedded", **options: Any) -> Settings:
    """Return settings with their data in the test's directory."""
    return Settings(data_dir=tmp_path, redis={"url": url}, **options)


def test_configured_secrets_are_those_that_count(tmp_path: Path) -> None:
    """What an operator sets is used, and a generated one is then not accepted beside it."""
    configured = settings(tmp_path, secrets={SLUG: "one,two"})
    assert secrets_of(configured, SLUG) == (b"one", b"two")
    make_secrets(settings(tmp_path), [SLUG])
    assert secrets_of(configured, SLUG) == (b"one", b"two")
    assert secrets_of(settings(tmp_path), "other") == ()


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """The first start makes it, and every later one finds the same; only the owner may read it."""
    here = settings(tmp_path)
    assert secrets_of(here, SLUG) == ()
    [file] = make_secrets(here, [SLUG])
    [secret] = secrets_of(here, SLUG)
    assert len(secret) >= 32
    assert file.read_bytes().strip() == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert make_secrets(here, [SLUG]) == []
    assert secrets_of(here, SLUG) == (secret,)


def test_each_publisher_has_a_secret_of_its_own(tmp_path: Path) -> None:
    """Two publishers cannot sign for each other."""
    here = settings(tmp_path)
    assert len(make_secrets(here, ["a", "b"])) == 2
    assert secrets_of(here, "a") != secrets_of(here, "b")


def test_a_real_deployment_is_never_given_a_secret(tmp_path: Path) -> None:
    """On any other server none is made, and one that lies there from earlier days is not accepted."""
    make_secrets(settings(tmp_path), [SLUG])
    real = settings(tmp_path, "redis://localhost")
    assert make_secrets(real, [SLUG, "other"]) == []
    assert secrets_of(real, SLUG) == ()


def test_only_a_publisher_that_needs_one_gets_one(tmp_path: Path) -> None:
    """One with a secret, and one that may send unsigned, get none."""
    here = settings(tmp_path, secrets={"with": "x"}, allow_unsigned="open")
    assert [file.name for file in make_secrets(here, ["with", "open", "without"])] == ["without"]


def test_a_file_that_was_left_empty_is_no_secret(tmp_path: Path) -> None:
    """A start that died between making the file and writing it must not leave a publisher without a secret."""
    here = settings(tmp_path)
    [file] = make_secrets(here, [SLUG])
    file.write_text("")
    assert secrets_of(here, SLUG) == ()
    make_secrets(here, [SLUG])
    assert len(secrets_of(here, SLUG)[0]) >= 32


def test_a_folder_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    """The message names the place and the setting; a secret is not lost in silence."""
    (tmp_path / "file").write_text("")
    here = settings(tmp_path / "file")
    assert secrets_of(here, SLUG) == ()
    with pytest.raises(ConfigError, match="ROUTER_DATA_DIR"):
        make_secrets(here, [SLUG])


def test_making_a_secret_leaves_nothing_else_behind(tmp_path: Path) -> None:
    """What is in the folder are secrets, each by the name of its publisher."""
    [file] = make_secrets(settings(tmp_path), [SLUG])
    assert list(file.parent.iterdir()) == [file]


def test_a_secret_that_cannot_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    """It is neither none, with which a second one would be made, nor a traceback."""
    here = settings(tmp_path)
    (tmp_path / "secrets" / SLUG).mkdir(parents=True)
    for call in (lambda: secrets_of(here, SLUG), lambda: make_secrets(here, [SLUG])):
        with pytest.raises(ConfigError, match="cannot be read"):
            call()
