"""What can go wrong with the archive."""

from config.errors import RouterError

__all__ = ["ArchiveUnreachable", "Damaged", "Swept"]


class ArchiveUnreachable(RouterError):
    """The archive does not take or give an object: it is away, full, or refuses us."""

    named = False
    exit_code = 4
    """What a command ends with, as where the store is away."""


class Damaged(RouterError):
    """An object of the archive cannot be read as what its name says; none of it is used."""

    named = False


class Swept(RouterError):
    """What was written was removed before it had its name: by a process that took the archive over meanwhile."""
