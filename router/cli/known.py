"""What a command begins with, quick to import: the settings, and the catalogue that they name."""

from functools import cache
from pathlib import Path

from config.settings import Settings
from config.sources import load_settings
from router.catalogue import Catalogue

__all__ = ["catalogue_of", "load_settings"]


def catalogue_of(settings: Settings) -> Catalogue:
    """Return the packaged catalogue with the operator's own publishers, as a process reads it once; see ConfigError."""
    return _load(settings.publishers_dir.resolve() if settings.publishers_dir else None)


@cache
def _load(directory: Path | None) -> Catalogue:
    return Catalogue.load(*([directory] if directory else []))
