"""The archive of the settings: where its objects are, and the form of new ones."""

from typing import Final

from config.archive import ArchiveSettings
from config.errors import ConfigError
from workers.archive import bucket, jsonl, parquet
from workers.archive.folder import Folder
from workers.archive.place import Place

__all__ = ["Archive", "open_archive"]

_LEASE: Final = 60.0  # seconds


class Archive:
    """Where objects are, and the form that new ones get."""

    def __init__(self, settings: ArchiveSettings, place: Place) -> None:
        self.settings = settings
        self.place = place

    @property
    def lease_seconds(self) -> float:
        """For how long the process that writes has the lease: it is renewed before each object."""
        return max(_LEASE, 3 * self.settings.timeout)

    @property
    def suffix(self) -> str:
        """The suffix of new objects, which says their form."""
        return parquet.SUFFIX if self.settings.format == "parquet" else jsonl.SUFFIX

    def writer(self, suffix: str) -> jsonl.JsonLines | parquet.Parquet:
        """Begin an object of this form."""
        return parquet.Parquet() if suffix == parquet.SUFFIX else jsonl.JsonLines()


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
