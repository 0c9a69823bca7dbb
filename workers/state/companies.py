"""Which subscriptions are keyed, and companies whose events they do not handle now, as the store keeps them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from router.store.client import Store
from router.store.errors import forgiven
from router.store.keys import LINES
from router.store.lines import Lines
from router.store.reading import checked, moment_of

_FOR_EVER = b"inf"


@dataclass(frozen=True, slots=True)
class CompanyPause:
    """A company of which a keyed subscription handles nothing: until when (None until it is resumed), by whom and why.

    since: None where only that it is paused is known.
    """

    company: str
    since: datetime | None
    until: datetime | None
    by: str = ""
    reason: str = ""

    def text(self) -> str:
        """Return it in words."""
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        until = f" until {self.until:%Y-%m-%d %H:%M:%S} UTC" if self.until else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"company {self.company} is paused{since}{until} by {self.by or 'somebody'}{reason}"


Companies = Mapping[str, CompanyPause]
"""The paused companies of a subscription, by their ids."""


async def keyed_ones(store: Store, names: Sequence[str]) -> list[str]:
    """Return those of the subscriptions that have lines, in one round trip; raises StoreUnavailable."""
    places = [LINES.index(place) for place in ("clock", "length")]
    commands = [("EXISTS", *(store.keys.lines(name)[place] for place in places)) for name in names]
    replies = checked(await store.commands(commands)) if commands else []
    return [name for name, there in zip(names, replies, strict=True) if there]


async def paused_companies(store: Store, names: Sequence[str]) -> dict[str, dict[str, CompanyPause]]:
    """Return the paused companies of these subscriptions, in order of their ids; subscriptions without are left out.

    One round trip; raises StoreUnavailable.
    """
    lines = [Lines(store.keys, name) for name in names]
    replies = await store.run([each.paused() for each in lines]) if lines else []
    found = checked(forgiven(replies, [each.keys[LINES.index("stopped")] for each in lines], []))
    pauses = {name: [company_pause(*row) for row in rows] for name, rows in zip(names, found, strict=True)}
    return {
        name: {pause.company: pause for pause in sorted(rows, key=lambda pause: pause.company)}
        for name, rows in pauses.items()
        if rows
    }


def company_pause(company: bytes, until: bytes, known: bytes) -> CompanyPause:
    """Read a pause as the lines have it: its end, and the entry of PAUSES; see lib/lines.lua."""
    since, by, reason = (part.decode(errors="backslashreplace") for part in (*known.split(b"\0", 2), b"", b"")[:3])
    return CompanyPause(
        _text(company), moment_of(f"{since}-0") if since.isdecimal() else None, _end_of(until), by, reason
    )


def _text(company: bytes) -> str:
    return company.decode(errors="backslashreplace")


def _end_of(reply: bytes) -> datetime | None:
    """Return the end of a pause, epoch milliseconds or `inf` for none."""
    return None if reply == _FOR_EVER else moment_of(f"{max(0, int(float(reply)))}-0")
