"""The archive in a folder: whole files that only their owner may read, on the disk before they are believed."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from support.archiving import still

from workers.archive.errors import ArchiveUnreachable, Damaged, Swept
from workers.archive.folder import Folder
from workers.archive.place import PENDING

NAME = "publisher=a/type=b/day=2026-01-01/one.jsonl.gz"


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    """Return a place."""
    return Folder(tmp_path)


async def test_files_are_private(place: Folder, tmp_path: Path) -> None:
    """Files have mode 0600 and folders 0700, whatever the process leaves to others."""
    before = os.umask(0)
    try:
        await place.put(NAME, b"1", still)
    finally:
        os.umask(before)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert [path.stat().st_mode & 0o777 for path in folders] == [0o700] * 4


async def test_a_file_appears_when_it_is_whole(place: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on the disk before it has its name, and its name is on the disk before the call returns."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        fsync(descriptor)

    def note_replace(self: Path, target: Any) -> Path:
        steps.append("rename")
        return replace(self, target)

    await place.put(NAME, b"0", still)
    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    await place.put(NAME, b"1", still)
    assert steps == ["file", "rename", "folder"]
    assert (tmp_path / NAME).read_bytes() == b"1"


async def test_a_disk_that_is_full_leaves_what_was_there(
    place: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk is full the archive is away, the old object stays, and nothing is left of the new one."""
    await place.put(NAME, b"old", still)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArchiveUnreachable, match="No space left"):
        await place.put(NAME, b"new", still)
    monkeypatch.undo()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / NAME]
    assert (tmp_path / NAME).read_bytes() == b"old"


async def test_what_a_killed_process_left_is_not_listed_and_goes(place: Folder, tmp_path: Path) -> None:
    """What is being written is no object, and a sweep removes it; but not the note that `doctor` is writing."""
    await place.put(NAME, b"1", still)
    left, note = (tmp_path / PENDING / name for name in ("1.one.jsonl.gz.part", "2.about.txt.part"))
    for path in (left, note):
        path.write_bytes(b"part")
    assert [each.name async for each in place.list()] == [NAME]
    await place.sweep()
    assert (left.exists(), note.exists()) == (False, True)


async def test_what_is_swept_while_it_is_put_gets_no_name(place: Folder, tmp_path: Path) -> None:
    """Whoever was stopped in a put while another swept replaces nothing any more."""
    await place.put(NAME, b"old", still)
    with pytest.raises(Swept):
        await place.put(NAME, b"new", place.sweep)
    assert (tmp_path / NAME).read_bytes() == b"old"


async def test_what_may_not_appear_leaves_nothing(place: Folder, tmp_path: Path) -> None:
    """Where an object is not to get its name any more, nothing is left of it."""

    async def lost() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await place.put(NAME, b"1", lost)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_what_is_not_there(place: Folder, tmp_path: Path) -> None:
    """An object that is gone is damaged; removing it is done; a folder that is gone is an archive that is away."""
    with pytest.raises(Damaged, match="not there any more"):
        await place.open(NAME)
    await place.remove(NAME)
    gone = Folder(tmp_path / "gone")
    for call in (gone.put(NAME, b"1", still), anext(aiter(gone.list()))):
        with pytest.raises(ArchiveUnreachable, match="there is no such folder"):
            await call
