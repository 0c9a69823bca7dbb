"""What is noted of each write to the ERP, so that its echo is distinguished from the changes of others."""

from typing import NamedTuple, Protocol

from workers.record import Record

__all__ = ["CREATED", "UNKNOWN", "Noted", "Unnoted", "Writes", "made_on", "path_made"]

CREATED = "+"
"""The write made the record."""
UNKNOWN = "?"
"""Nobody knows which version the write was made on."""


class Noted(NamedTuple):
    """A write that was noted; `guarded`: whether a subscription tells echoes of this record from other changes."""

    token: str = ""
    guarded: bool = False


class Writes(Protocol):
    """Takes note of writes; never raises, and never keeps one for long."""

    async def begin(self, whose: tuple[str, str, str], path: str, longest: float, /) -> Noted:
        """Note that a write of a publisher's, tenant's and company's record begins, which takes `longest` seconds."""

    async def end(self, whose: tuple[str, str, str], path: str, noted: Noted, version: str | None, on: str, /) -> None:
        """Note which version it made, and on which one (`=VERSION`, CREATED or UNKNOWN)."""


class Unnoted:
    """Takes note of nothing."""

    async def begin(self, _whose: tuple[str, str, str], _path: str, _longest: float) -> Noted:
        """Ignore it."""
        return Noted()

    async def end(
        self, _whose: tuple[str, str, str], _path: str, _noted: Noted, _version: str | None, _on: str
    ) -> None:
        """Ignore it."""


def made_on(if_match: str | None) -> str:
    """Return what a conditional write was made on: the one version that it names, if it does."""
    if not if_match or if_match.strip() == "*" or "," in if_match:
        return UNKNOWN
    return f"={if_match}"


def path_made(path: str, location: str | None, record: Record) -> str | None:
    """Return the path of the record that a POST has made below its own; None where the answer does not say it.

    Of a link only the path is taken: nobody is asked there.
    """
    if not location or record.status != 201 or record.etag is None:  # noqa: PLR2004 - Created
        return None
    _, found, number = f"/{location}".partition(f"/{path.strip('/')}/")
    number = number.removesuffix("/")
    return f"{path.strip('/')}/{number}" if found and number and not set(number) & set("?#\\") else None
