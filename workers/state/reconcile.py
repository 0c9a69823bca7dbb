"""How far the sweeps of each reconciliation are: what the store keeps of every company."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from config.settings import Settings
from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, moment_at, named_values

__all__ = ["CompanyState", "Swept", "moment", "read_state", "reconciliations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How far the sweeps of one company are; times in epoch milliseconds, 0 for never.

    about: what was swept, without which the rest says nothing. cursor: the newest change that was judged, in the ERP's
    time. begun, whole, complete: when the last sweep began, the last that came to its end, and the last of those that
    listed all records. due: when the next one is. failures: sweeps that failed since the last that did not, the last
    with `error`. listed, reported, made: changes that the last sweep judged, those that a webhook had reported, and the
    events it made of the others. repaired: events made by all sweeps; deleted: those of them for what was gone.
    held: how many records seemed gone, too many to believe, of so many `held_of`; unreadable: listed items without
    number or time. since: from when on the last sweep that came to its end judged changes, in the ERP's time; ends: the
    newest entries of the streams after it, as JSON by stream.
    """

    about: str = ""
    cursor: int = 0
    begun: int = 0
    whole: int = 0
    complete: int = 0
    due: int = 0
    failures: int = 0
    error: str = ""
    listed: int = 0
    reported: int = 0
    made: int = 0
    unreadable: int = 0
    repaired: int = 0
    deleted: int = 0
    held: int = 0
    held_of: int = 0
    held_at: int = 0
    since: int = 0
    ends: str = ""

    @classmethod
    def of(cls, found: Mapping[bytes, bytes] | Sequence[bytes]) -> "Swept":
        """Return what a hash holds; what was edited to be no number counts as 0."""
        pairs = named_values(found).items()
        texts = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}
        values: dict[str, Any] = {
            field.name: texts[field.name] if field.type in (str, "str") else _number(texts[field.name])
            for field in fields(cls)
            if field.name in texts
        }
        return cls(**values)

    def changed(self, **values: Any) -> "Swept":
        """Return the same with other values."""
        return replace(self, **values)

    def written(self) -> dict[str, str | int]:
        """Return the fields of the hash."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CompanyState:
    """How far the sweeps of one company of a reconciliation are; `sweeping` while one is under way."""

    name: str
    publisher: str
    path: str
    company: str
    swept: Swept
    sweeping: bool
    records: int

    @property
    def state(self) -> str:
        """In a word: new, sweeping, failing, held or swept."""
        if self.sweeping:
            return "sweeping"
        if self.swept.held:
            return "held"
        if self.swept.error:
            return "failing"
        return "swept" if self.swept.whole else "new"


async def read_state(store: Store, key: str) -> Swept:
    """Return what a company's hash holds; raises StoreUnavailable."""
    return Swept.of(await store.command("HGETALL", key) or {})


async def reconciliations(store: Store, settings: Settings) -> list[CompanyState]:
    """Return how far all are, in the order of the settings, in one round trip; raises StoreUnavailable."""
    found = [
        (name, terms, company.name)
        for name, terms in settings.reconcile.items()
        if terms.path
        for company in terms.swept(settings.erp_for(terms.publisher).tenant_id)
    ]
    keys = store.keys
    rows = [(name, company) for name, _, company in found]
    commands = [
        command
        for row in rows
        for command in (
            ("HGETALL", keys.swept(*row)),
            ("EXISTS", keys.sweeping(*row)),
            ("HLEN", keys.known_records(*row)),
        )
    ]
    names = [str(command[1]) for command in commands]
    replies = checked(forgiven(await store.commands(commands), names, 0)) if commands else []
    return [
        CompanyState(name, terms.publisher, terms.path, company, Swept.of(state or {}), bool(leased), int(known))
        for (name, terms, company), state, leased, known in zip(
            found, replies[::3], replies[1::3], replies[2::3], strict=True
        )
    ]


def moment(millis: int) -> datetime | None:
    """Return a time of a state; None for never."""
    return moment_at(millis) if millis > 0 else None


def _number(text: str) -> int:
    return int(text) if text.isdigit() and len(text) <= 18 else 0  # noqa: PLR2004 - as 64 bits have
