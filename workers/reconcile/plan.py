"""A reconciliation, made of its settings and the catalogue: what is listed, and which events are made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl, quote
from zoneinfo import ZoneInfo

import msgspec

from config.erp import ErpSettings
from config.errors import ConfigError
from config.publisher_types import fold
from config.publishers import EventType, Publisher
from config.reconcile import Company, ReconcileSettings
from config.settings import Settings, fold_slug
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.identify import Identified, identify
from router.events.resource import Records, is_safe
from router.events.samples import collection_of
from router.events.ticks import to_ticks

__all__ = ["DELETED", "Listed", "Plan", "check_plans", "plans"]

DELETED: Final = "deleted"
_ORIGIN: Final = "reconcile"
_FAMILIES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "changed": ("changed", DELETED),
        "created": ("created", "updated", DELETED),
        "updated": ("created", "updated", DELETED),
    }
)
"""The actions of the events that an integration subscribes to together, by one of them."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A record that the ERP listed: its name and path as events have them, and when it was changed (epoch ms)."""

    resource: str
    path: str
    number: str
    modified: int


class Plan:
    """What one reconciliation does, for all of its companies."""

    def __init__(self, name: str, terms: ReconcileSettings, erp: ErpSettings, catalogue: Catalogue) -> None:
        self.name = name
        self.terms = terms
        self.erp = erp
        self.publisher = _publisher(name, terms, catalogue)
        self._catalogue = catalogue
        self._records = Records(self.publisher.paths)
        self._zone = ZoneInfo(terms.zone)
        self.companies = terms.swept(erp.tenant_id)
        self._event = self._chosen(terms.event) if terms.event else self._derived()
        self._deleted = self._chosen(terms.deleted_event) if terms.deleted_event else self._derived_deleted()
        self.reported_by = self._streams()
        if not self.companies:
            raise ConfigError(f"reconcile.{name}: set companies, or tenant_id of the ERP of {terms.publisher}")

    @property
    def about(self) -> str:
        """What is swept, in one text: once it is another, what is known of its records says nothing."""
        terms = self.terms
        return f"{terms.path}?{terms.query}#{','.join(terms.number)}"

    @property
    def stream(self) -> str:
        """The stream that changes go to."""
        return f"{self.publisher.slug}/{self._event.type}"

    def subject(self, company: Company) -> Event:
        """Return the event that stands for a sweep where the ERP is asked: it says for which tenant and company."""
        return Event(
            id=f"reconcile:{self.name}",
            publisher=self.publisher.slug,
            type=self._event.type,
            wire_event=self._event.wire_name,
            tenant_id=company.tenant,
            company_id=company.company,
            received_at=datetime.now(UTC),
            raw=b"{}",
        )

    def page(self, number: int, since: int | None) -> dict[str, str | int]:
        """Return the parameters of a page, the first is 1, of what changed since then (epoch ms), or of all."""
        terms = self.terms
        asked: dict[str, str | int] = dict(parse_qsl(terms.query, keep_blank_values=True))
        by_index = terms.since_parameter == "modifiedSince"
        if since is not None:
            asked[terms.since_parameter] = self._local(since)
            if not by_index:
                asked["lastModifiedDateTimeCondition"] = ">="
        return {**asked, "pageIndex" if by_index else "pageNumber": number - by_index, "pageSize": terms.page_size}

    def read(self, item: Mapping[str, Any]) -> Listed | None:
        """Return which record an item of a page is; None where it has no number or no time."""
        parts = [_text(item.get(field)) for field in self.terms.number]
        modified = self._moment(item.get(self.terms.modified))
        if modified is None or not all(part and is_safe(part) for part in parts):
            return None
        key = "/".join(quote(str(part), safe="") for part in parts)
        found = self._records.read(f"{self.terms.path}/{key}", parts[-1])
        if found is None or found.id is None:
            return None
        return Listed(found.name, found.path, found.id, modified)

    def known(self, resource: str, modified: int) -> Listed | None:
        """Return a record that was listed before, by its name; None where that is no record of this collection."""
        collection = self.terms.path.rpartition("/")[2].lower()
        key = resource.removeprefix(f"{collection}/")
        *before, number = key.split("/", len(self.terms.number) - 1)
        link = "/".join([self.terms.path, *before, quote(number, safe="")])
        found = self._records.read(link, number)
        return Listed(resource, found.path, number, modified) if found is not None and found.name == resource else None

    def notice(self, company: Company, record: Listed, *, gone_at: int | None = None) -> Identified:
        """Return the event of a change that was missed, or of a record that is gone (found so then, epoch ms).

        Its id is made of tenant, company, record and modification, so that all sweeps give it the same.
        """
        gone = gone_at is not None
        what = self._deleted if gone else self._event
        said = (company.tenant, company.company or "", record.resource, str(record.modified), str(gone))
        values: dict[str, Any] = {
            "event": what.wire_name,
            "notification_id": f"reconcile-{sha256('|'.join(said).encode()).hexdigest()[:40]}",
            "action": DELETED if gone else None,
            "resource_id": record.number,
            "relative_path": record.path,
            "company_id": company.company,
            "tenant_id": company.tenant,
            "timestamp": to_ticks(_utc(record.modified if gone_at is None else gone_at)),
            "origin": _ORIGIN,
        }
        names = {field: names[0] for field, names in self.publisher.dialect if field in values and names}
        item = {names[field]: value for field, value in values.items() if field in names and value is not None}
        [found] = identify(self._catalogue, self.publisher.slug, msgspec.json.encode(item), None)
        assert isinstance(found, Identified)
        return found

    def _local(self, millis: int) -> str:
        """Return a time as the ERP writes it, before all that it writes of later ones, clocks being set back or not."""
        local = _utc(millis).astimezone(self._zone)
        first, second = (local.replace(fold=fold).utcoffset() or timedelta() for fold in (0, 1))
        if not local.fold:
            local -= first - second  # of the hour that comes twice, it is the first
        return local.replace(tzinfo=None).isoformat(timespec="milliseconds")

    def _moment(self, value: object) -> int | None:
        if not isinstance(value, str):
            return None
        try:
            found = datetime.fromisoformat(value.strip().upper())
            # Of an hour that comes twice, the second: no webhook of the first then stands for a change in the second.
            aware = found if found.tzinfo else found.replace(tzinfo=self._zone, fold=1)
            millis = int(aware.timestamp() * 1000 + 0.5)
        except (ValueError, OverflowError):
            return None
        return millis if millis > 0 else None

    def _chosen(self, type_: str) -> EventType:
        event = self._catalogue.match(self.publisher.slug, type_)
        if event is None:
            raise ConfigError(
                f"reconcile.{self.name}: {type_!r} is no event of {self.publisher.slug}; "
                "`event-router catalogue` lists them"
            )
        return event

    def _derived(self) -> EventType:
        collection = fold(self.terms.path.rpartition("/")[2])
        own = [event for event in self.publisher.events if fold(collection_of(event.entity)) == collection]
        for action in ("changed", "updated"):
            for event in own:
                if event.action == action:
                    return event
        raise ConfigError(f"reconcile.{self.name}: no event is known for {self.terms.path}; set event")

    def _derived_deleted(self) -> EventType:
        own = (event for event in self.publisher.events if event.entity == self._event.entity)
        return next((event for event in own if event.action == DELETED), self._event)

    def _streams(self) -> tuple[str, ...]:
        slug, globs = self.publisher.slug, self.terms.reported_by
        if globs:
            types = [event.type for event in self.publisher.events if any(fnmatchcase(event.type, g) for g in globs)]
            if not types:
                raise ConfigError(f"reconcile.{self.name}: reported_by fits no event of {slug}")
        else:
            family = _FAMILIES.get(self._event.action, ())
            own = (event for event in self.publisher.events if event.entity == self._event.entity)
            types = [event.type for event in own if event.action in family]
        return tuple(dict.fromkeys(f"{slug}/{type_}" for type_ in (*types, self._event.type, self._deleted.type)))


def plans(settings: Settings, catalogue: Catalogue) -> list[Plan]:
    """Return all reconciliations of the settings; raises ConfigError for one that cannot be done."""
    return [
        Plan(name, terms, settings.erp_for(terms.publisher), catalogue)
        for name, terms in settings.reconcile.items()
        if _is_on(name, terms)
    ]


def check_plans(settings: Settings, catalogue: Catalogue) -> list[Plan]:
    """Return them; raises ConfigError also for one whose ERP is not set."""
    found = plans(settings, catalogue)
    for plan in found:
        if missing := plan.erp.missing:
            section = f"ROUTER_ERP__{fold_slug(plan.publisher.slug).upper()}__"
            names = ", ".join(section + name.upper() for name in missing)
            raise ConfigError(f"reconcile.{plan.name}: the ERP of {plan.publisher.slug} is not set: set {names}")
    return found


def _is_on(name: str, terms: ReconcileSettings) -> bool:
    if not terms.path:
        raise ConfigError(f"reconcile.{name}: set path, such as v1/customer")
    return True


def _publisher(name: str, terms: ReconcileSettings, catalogue: Catalogue) -> Publisher:
    for slug, publisher in catalogue.publishers.items():
        if fold_slug(slug) == fold_slug(terms.publisher):
            return publisher
    raise ConfigError(f"reconcile.{name}: {catalogue.no_publisher(terms.publisher)}")


def _text(value: object) -> str | None:
    """Return a part of a number; None for what is none."""
    if type(value) is int:
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


def _utc(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)
