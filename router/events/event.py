"""The event: one notification in the one form that every handler gets, whatever dialect the sender speaks."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Self

import msgspec
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

# Past the guard that makes the model frozen.
_set_values, _set_fields, _set_extra, _set_private = (
    vars(BaseModel)[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Aware = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time as msgspec checks it."""

Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
_AWARE: Final[Mapping[Any, Any]] = {AwareDatetime: Aware, Moment | None: Aware | None}


class Event(BaseModel):
    """One notification, normalised; None stands for what the sender did not say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """The notification's id in lower case, or `sha256:` and a digest where there is none that is fit to be one."""

    publisher: str
    """Who sent it: `visma-net-financial`."""

    type: str
    """What happened to what: `customer_changed`; `unlisted` for an event the catalogue does not list."""

    wire_event: str
    """The event's name as the sender spelt it."""

    entity: str | None = None
    """What it happened to: `customer`."""

    action: str | None = None
    """What happened, as the sender says or else the catalogue: `updated`."""

    resource: str | None = None
    """Which one, whatever version of the interface it is served by: `customer/55555`."""

    resource_path: str | None = None
    """Where to read it, relative to the publisher's interface and free of tricks: `v1/customer/55555`."""

    resource_id: str | None = None
    """Its number or id: `55555`."""

    company_id: str | None = None
    """The company in the ERP."""

    tenant_id: str | None = None
    """The tenant in Visma Connect."""

    occurred_at: Moment | None = None
    """When it happened, aware and in UTC, to the microsecond."""

    ticks: int | None = None
    """The same as sent: units of 100 ns since 0001-01-01."""

    received_at: Moment
    """When the webhook came in, aware and in UTC."""

    document_status: str | None = None
    """The document's status in the ERP: `Balanced`."""

    erp_event: str | None = None
    """The ERP's own code of what happened, as sent."""

    user_id: str | None = None
    """The user who made the change."""

    api_client_id: str | None = None
    """The API client that made the change, as far as is known: tells the echo of one's own writes."""

    connect_id: str | None = None
    """The sender's `ConnectId`."""

    scheduled: bool | None = None
    """Whether a scheduled job of the ERP did it, not a person."""

    origin: str | None = None
    """`reconcile` where a sweep of the ERP found the change; None where a webhook reported it."""

    extra: dict[str, Any] = Field(default_factory=dict)
    """Everything else in the notification, by its name as sent."""

    hints: dict[str, str] = Field(default_factory=dict)
    """Headers of the request, by their names in lower case, that are kept for the publisher: unsigned, no authority."""

    raw: bytes
    """The notification's own bytes, JSON in UTF-8, as they were sent and signed."""

    @classmethod
    def trusted(cls, values: dict[str, Any]) -> Self:
        """Make an event of a value for every field, each already of its type, which the event then owns.

        Does what `model_construct` does, in a tenth of its time: the normaliser makes every value itself, and to
        validate them again would cost more than all the rest of normalising.
        """
        event = cls.__new__(cls)
        _set_values(event, values)
        _set_fields(event, _FIELDS)
        _set_extra(event, None)
        _set_private(event, None)
        return event

    @property
    def stream(self) -> str:
        """The name of the event's stream, `publisher/type`."""
        return f"{self.publisher}/{self.type}"


_FIELDS = set(Event.model_fields)


def struct_fields(names: Iterable[str]) -> list[Any]:
    """Return fields of the event as `msgspec.defstruct` takes them, which reads JSON faster than the model does."""
    fields: list[Any] = []
    for name in names:
        known = Event.model_fields[name]
        default = () if known.is_required() else (known.get_default(call_default_factory=True),)
        fields.append((name, _AWARE.get(known.annotation, known.annotation), *default))
    return fields
