"""Makes notifications as they are really sent, one of any listed event, for demonstrations, tests and `send`.

Financial speaks two dialects: that of Changed, Status Changed and Action Triggered, and that of Created, Updated and
Deleted. What the bodies of the other publishers hold is not public; theirs are plausible, and read by the same rules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec

from config.publisher_types import fold
from config.publishers import UNLISTED, Dialect, EventType, Publisher
from router.events.catalogue import Catalogue, UnknownStream
from router.events.ticks import to_ticks

Item = dict[str, Any]

_PRODUCTION: Final = "https://api.finance.visma.net/"
_STANDARD: Final = Dialect()
_STATUSES: Final = ("Hold", "Balanced", "Open", "Closed")
_BUTTONS: Final = ("Release", "Print", "Cancel")
_COMPANIES: Final = ("5100001", "5100002")
_COLLECTIONS: Final = {  # where the collection is not the entity without its separators
    "ap_invoice": "supplierInvoice",
    "ar_invoice": "customerInvoice",
    "ep_employee": "employee",
    "inventory_item": "inventory",
    "pm_project": "project",
    "pm_project_pmtask": "projecttask",
}


@dataclass(frozen=True, slots=True)
class About:
    """What samples are about, where that is not left to chance.

    resource: the number of a record, such as `55555`; its collection may stand before it, as in `customer/55555`.
    """

    resource: str | None = None
    company: str | None = None
    tenant: str | None = None

    def of_one(self, random: Random) -> "About":
        """Return the same about one record: a record is one of a company and a tenant, so these are drawn once."""
        if self.resource is None:
            return self
        draw = _Draw(random, self)
        return About(self.resource, draw.company(), draw.tenant())

    @property
    def number(self) -> str | None:
        """The number of the record."""
        return self.resource.rpartition("/")[2] if self.resource else None


_ANYTHING: Final = About()


@dataclass(frozen=True, slots=True)
class _Draw:
    """What is left to chance, and what is not."""

    random: Random
    about: About

    def guid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def number(self) -> str:
        return self.about.number or str(self.random.randrange(10_000, 100_000))

    def company(self) -> str:
        return self.about.company or self.random.choice(_COMPANIES)

    def tenant(self) -> str:
        return self.about.tenant or self.guid()


def sample(catalogue: Catalogue, stream: str, random: Random, now: datetime, about: About = _ANYTHING) -> Item:
    """Return one item of a body, as its publisher sends the event of this stream.

    Ids come from `random`, the time from `now` (aware), so that the same seed makes the same item. For `unlisted` the
    event has a name that is not in the catalogue. Raises UnknownStream for a stream that the catalogue does not have.
    """
    slug, _, type_ = stream.partition("/")
    publisher = catalogue.publishers.get(slug)
    event = catalogue.event_type(slug, type_)
    if publisher is None or (event is None and type_ != UNLISTED):
        raise UnknownStream(f"no such stream: {stream!r}; `event-router catalogue` lists them")
    if event is None:
        event = EventType(type="not_yet_listed", entity="sample", action="updated", description="Unlisted.")
    if slug == "business-nxt":
        return _table(event, _Draw(random, about), now)
    return _named(publisher, _maker(slug, event)(event, _Draw(random, about), now))


def body(items: list[Item]) -> bytes:
    """Return the body that carries these items: one is sent as it is, several as an array."""
    return msgspec.json.encode(items[0] if len(items) == 1 else items)


def _maker(slug: str, event: EventType) -> Callable[[EventType, _Draw, datetime], Item]:
    if slug == "visma-net-financial":
        if event.entity == "background_api_operation":
            return _background
        return _written if event.action in {"created", "updated", "deleted"} else _changed
    return _voucher if slug == "visma-net-journal-transaction" else _service


def _named(publisher: Publisher, item: Item) -> Item:
    """Give each field the key that a publisher with a dialect of its own reads it from."""
    return {_key(publisher.dialect, key): value for key, value in item.items()}


def _key(dialect: Dialect, key: str) -> str:
    """Return the name that a dialect prefers for a field, unless it knows this one, or none at all."""
    field = next((field for field, names in _STANDARD if fold(key) in names), None)
    names = getattr(dialect, field) if field is not None else ()
    return key if not names or fold(key) in names else str(names[0])


def _wire_name(event: EventType, spelling: str) -> str:
    """Return the alias if there is one, else this spelling, unless an operator's file names the event otherwise."""
    if event.aliases:
        return event.aliases[0]
    return spelling if fold(spelling) == fold(event.type) else event.type


def collection_of(entity: str) -> str:
    """Return the collection of an interface in which the records of an entity are: `customerInvoice`."""
    return _COLLECTIONS.get(entity, fold(entity))


def _path(event: EventType, number: str) -> str:
    return f"v1/{collection_of(event.entity)}/{number}"


def _changed(event: EventType, draw: _Draw, now: datetime) -> Item:
    """Make an item of the dialect of Changed; its names are in lower case, the entity's words run together."""
    number = draw.number()
    path = _path(event, number)
    item = {
        "NotificationId": draw.guid().upper(),
        "contextId": draw.company(),
        "event": _wire_name(event, f"{fold(event.entity)}_{event.action}"),
        "action": draw.random.choice(("CREATED", "UPDATED")),
        "resourceId": number,
        "resourceUri": _PRODUCTION + path,
        "relativeResourceUri": path,
        "timeStamp": to_ticks(now),
        "ApiClientId": None,
        "TenantId": draw.tenant(),
        "IsScheduler": False,
        "ConnectId": draw.guid(),
    }
    if event.action == "status_changed":
        item |= {"documentStatus": draw.random.choice(_STATUSES)}
    elif event.action == "action_triggered":
        item |= {"action": draw.random.choice(_BUTTONS), "actionParameter": None}
    elif event.action != "changed":
        item |= {"action": "UPDATED"}
    return item


def _written(event: EventType, draw: _Draw, now: datetime) -> Item:
    """Make an item of the dialect of Created, Updated and Deleted; its names are in mixed case."""
    entity = "".join(map(str.capitalize, event.entity.split("_")))
    return {
        "event": _wire_name(event, f"{entity}_{event.action.capitalize()}"),
        "companyId": draw.company(),
        "entityId": draw.guid(),
        "notificationId": draw.guid(),
        "entityLocation": f"api/{_path(event, draw.number())}",
        "erpEvent": {"created": "0", "updated": "1"}.get(event.action, "2"),
        "erpDocumentStatus": None,
        "documentStatus": None,
        "UserId": str(draw.random.randrange(1_000_000, 9_999_999)),
        "timeStamp": str(to_ticks(now)),
        "apiClientId": None,
        "TenantId": draw.tenant(),
        "ConnectId": draw.guid(),
        "ischeduler": False,
    }


def _service(event: EventType, draw: _Draw, now: datetime) -> Item:
    """Make an item of the sales order service, or of a publisher that nothing is known of."""
    return {
        "event": _wire_name(event, event.type.upper()),
        "notificationId": draw.guid(),
        "companyId": draw.company(),
        "entityId": draw.guid(),
        "entityLocation": f"api/{_path(event, draw.number())}",
        "timeStamp": str(to_ticks(now)),
        "TenantId": draw.tenant(),
    }


def _voucher(event: EventType, draw: _Draw, now: datetime) -> Item:
    """Make an item of journal transactions: one document has a refNumber, and what failed says why."""
    item = _service(event, draw, now) | {"entityLocation": f"api/v1/voucher/{draw.number()}"}
    if event.entity == "voucher_document":
        item |= {"refNumber": f"{draw.random.randrange(1, 1_000_000):06}"}
    if event.action.endswith("failed"):
        item |= {"errorMessage": "The financial period is closed."}
    return item


def _table(event: EventType, draw: _Draw, now: datetime) -> Item:
    """Make an item of Business NXT: a row of a table that was changed."""
    table, key = draw.random.choice((("Product", "ProductNo"), ("Associate", "AssociateNo"), ("Order", "OrderNo")))
    time = now.isoformat(timespec="microseconds").replace("+00:00", "0Z")
    return {
        "tableIdentifier": table,
        "customerNo": draw.company(),
        "companyNo": 0 if draw.about.company else draw.random.choice((0, 1)),
        "event": draw.random.choice(event.aliases or (event.type,)),
        "primaryKeys": [{key: draw.number()}],
        "changedColumns": ["Name"],
        "timestamp": time,
        "changedTimestamp": time,
        "changedByUser": str(draw.random.randrange(1, 100)),
    }


def _background(event: EventType, draw: _Draw, now: datetime) -> Item:
    """Make an item of the Background API: where the answer is to be fetched, and the status code it came with."""
    location = f"{_PRODUCTION}v1/background/{draw.about.number or draw.guid()}"
    return {
        "event": _wire_name(event, event.type.upper()),
        "notificationId": draw.guid(),
        "contextId": draw.company(),
        "reference": draw.guid(),
        "statusCode": 200,
        "stateLocation": location,
        "contentLocation": f"{location}/content",
        "timeStamp": to_ticks(now),
        "TenantId": draw.tenant(),
    }
