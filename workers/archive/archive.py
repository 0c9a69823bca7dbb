"""The archive of the settings: its objects, by what is in them."""

from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from config.archive import ArchiveSettings
from config.errors import ConfigError
from workers.archive import bucket, jsonl, parquet
from workers.archive.folder import Folder
from workers.archive.line import Archived
from workers.archive.name import ObjectName
from workers.archive.place import Place

__all__ = ["Archive", "open_archive", "read_object"]

_LEASE: Final = 60.0  # seconds
_READERS: Final[Mapping[str, Any]] = {jsonl.SUFFIX: jsonl.read, parquet.SUFFIX: parquet.read}


class Archive:
    """Where objects are, and the form that new ones get."""

    def __init__(self, settings: ArchiveSettings, place: Place) -> None:
        self.settings = settings
        self.place = place

    @property
    def lease_seconds(self) -> float:
        """For how long the process that writes has the lease: it is renewed before each object."""
        return max(_LEASE, 3 * self.settings.timeout)

    def writer(self) -> jsonl.JsonLines | parquet.Parquet:
        """Begin an object."""
        return parquet.Parquet() if self.settings.format == "parquet" else jsonl.JsonLines()


def open_archive(settings: ArchiveSettings) -> Archive:
    """Return the archive of the settings; raises ConfigError where there is none, or a package for it is missing."""
    if not settings.to:
        raise ConfigError("there is no archive: set archive.to (docs/archive.md)")
    if settings.format == "parquet":
        parquet.check_installed()
    if settings.folder is not None:
        return Archive(settings, Folder(settings.folder))
    bucket.check_installed()
    return Archive(settings, bucket.Bucket(settings))


def read_object(name: ObjectName, file: IO[bytes]) -> Iterator[Archived]:
    """Yield the entries of an object, as they come; raises Damaged, which may be at its end."""
    if name.suffix == parquet.SUFFIX:
        parquet.check_installed()
    entries: Iterator[Archived] = _READERS[name.suffix](file)
    return entries
