"""The settings of the archive."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from config.archive import ArchiveSettings
from config.errors import ConfigError
from config.sources import load_settings, secret_files


@pytest.mark.parametrize(
    ("to", "folder", "bucket"),
    [
        ("file:///var/lib/archive", Path("/var/lib/archive"), None),
        ("file:///var/lib/a%20b/", Path("/var/lib/a b"), None),
        ("file://localhost/a", Path("/a"), None),
        ("s3://bucket", None, ("bucket", "")),
        ("s3://bucket/a/b/", None, ("bucket", "a/b")),
    ],
)
def test_where_it_is(to: str, folder: Path | None, bucket: tuple[str, str] | None) -> None:
    """A folder, or a folder of a bucket."""
    settings = ArchiveSettings(to=to)
    assert settings.folder == folder
    assert bucket is None or settings.bucket == bucket


@pytest.mark.parametrize(
    "to", ["/var/lib", "file:relative", "file:///", "file://host/a", "s3:///a", "s3://key:x@b/", "gs://b", "s3://b?x=1"]
)
def test_what_is_no_place(to: str) -> None:
    """Anything else is refused at the start: events must not go to where nobody looks."""
    with pytest.raises(ValidationError, match="must be file:///FOLDER or s3://BUCKET/FOLDER"):
        ArchiveSettings(to=to)


@pytest.mark.parametrize("endpoint", ["s3.example.com", "ftp://x", "https://u:p@x", "https://x?a=b", "https://x:0"])
def test_what_is_no_endpoint(endpoint: str) -> None:
    """An endpoint is the address of a server, and nothing secret."""
    with pytest.raises(ValidationError, match="must be a URL such as"):
        ArchiveSettings(endpoint=endpoint)


def test_what_goes_over_the_network_in_clear() -> None:
    """Without encryption a server is for this machine alone."""
    endpoints = ("http://10.0.0.1:9000", "http://127.0.0.1:9000", "https://s3.example.com", "")
    assert [ArchiveSettings(endpoint=each).in_clear for each in endpoints] == [True, False, False, False]


def test_the_secret_comes_from_a_file(tmp_path: Path) -> None:
    """It is read from the file that is named, known as a file with a secret, and shown by no message."""
    secret, file = tmp_path / "secret", tmp_path / "router.toml"
    secret.write_text("hush-hush\n")
    file.write_text(f'[archive]\nto = "s3://b"\nsecret_key_file = "{secret}"\n')
    settings = load_settings(file, {})
    assert settings.archive.secret_key is not None
    assert settings.archive.secret_key.get_secret_value() == "hush-hush"
    assert "hush-hush" not in repr(settings)
    assert secret in secret_files(file, {})
    file.write_text('[archive]\nto = "s3://b"\nsecret_key = ["hush-hush"]\n')
    assert file in secret_files(file, {})
    with pytest.raises(ConfigError) as error:
        load_settings(file, {})
    assert "hush-hush" not in str(error.value)
