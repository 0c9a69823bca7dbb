"""What `doctor` says of the archive."""

import sys
from pathlib import Path

import pytest

from config.archive import ArchiveSettings
from config.settings import Settings
from router.cli.doctor.archive_checks import judge_archive


async def test_no_archive_is_no_check() -> None:
    """Where none is set nothing is said."""
    assert await judge_archive(Settings()) == []


async def test_a_folder_that_takes_objects(tmp_path: Path) -> None:
    """It is tried: a note is written, and read again."""
    (check,) = await judge_archive(Settings(archive=ArchiveSettings(to=tmp_path.as_uri())))
    assert (check.name, check.state) == ("archive", "ok")
    assert "docs/archive.md" in (tmp_path / "about.txt").read_text()


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """What workers would meet is found before."""
    (check,) = await judge_archive(Settings(archive=ArchiveSettings(to=(tmp_path / "gone").as_uri())))
    assert check.state == "failed"
    assert "there is no such folder" in check.detail


@pytest.mark.parametrize(
    ("module", "extra", "options"),
    [("obstore", "s3", {"to": "s3://b"}), ("pyarrow", "parquet", {"format": "parquet"})],
)
async def test_a_package_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, extra: str, options: dict[str, str]
) -> None:
    """An extra that is not installed is named, with how it is installed by pip and in an image."""
    monkeypatch.setitem(sys.modules, module, None)
    (check,) = await judge_archive(
        Settings(archive=ArchiveSettings.model_validate({"to": tmp_path.as_uri(), **options}))
    )
    assert check.state == "failed"
    assert check.detail.endswith(f"pip install 'visma-event-router[{extra}]'; an image is built with EXTRAS={extra}")
