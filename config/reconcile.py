"""The settings of a reconciliation: which records of an ERP are looked at, for changes that no webhook reported."""

import re
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.functional_validators import AfterValidator

from config.times import Span, SpanOrOff, Zone

__all__ = ["Company", "ReconcileSettings"]

_PATH: Final = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*")
_COMPANY: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}(?:/[A-Za-z0-9._:-]{1,100})?")
_OWN: Final = frozenset(
    {"lastmodifieddatetime", "lastmodifieddatetimecondition", "modifiedsince", "pagenumber", "pageindex", "pagesize"}
)
"""What a sweep asks by itself."""


def _items(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _path(value: str) -> str:
    if value and not _PATH.fullmatch(value):
        raise ValueError("must be the path of a collection, such as v1/customer")
    return value


def _companies(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _COMPANY.fullmatch(value):
            raise ValueError("must be tenants, each with its company behind a slash: TENANT/COMPANY")
    return tuple(dict.fromkeys(values))


def _query(value: str) -> str:
    try:
        pairs = parse_qsl(value, keep_blank_values=True, strict_parsing=bool(value))
    except ValueError:
        raise ValueError("must be a query, such as status=Active") from None
    if own := [name for name, _ in pairs if name.lower() in _OWN]:
        raise ValueError(f"must leave {own[0]} to the sweep")
    return value


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_items)]
Part = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class Company(BaseModel):
    """Whose records are looked at: a tenant, and its company where events name one."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    company: str | None = None

    @property
    def name(self) -> str:
        """Both, as the settings write them."""
        return f"{self.tenant}/{self.company}" if self.company else self.tenant


class ReconcileSettings(BaseModel):
    """One collection of records that is swept; off until it has a path. Times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    publisher: Annotated[str, Field(min_length=1)] = "visma-net-financial"
    path: Annotated[str, AfterValidator(_path)] = ""
    event: str = ""
    deleted_event: str = ""
    reported_by: Names = ()
    companies: Annotated[Names, AfterValidator(_companies)] = ()
    every: Span = 3600
    overlap: Span = 600
    wait: SpanOrOff = 10
    deletes: SpanOrOff = 0
    max_deletes: Part = 0.05
    number: Names = ("number",)
    modified: Annotated[str, Field(min_length=1)] = "lastModifiedDateTime"
    zone: Zone = "UTC"
    since_parameter: Literal["lastModifiedDateTime", "modifiedSince"] = "lastModifiedDateTime"
    query: Annotated[str, AfterValidator(_query)] = ""
    page_size: Annotated[int, Field(gt=0, le=5000)] = 500
    reserve: Part = 0.5

    def swept(self, tenant: str) -> tuple[Company, ...]:
        """Return whose records are looked at: the companies named, or else the one tenant of the ERP, if it has one."""
        named = self.companies or ((tenant,) if tenant else ())
        parts = (name.partition("/") for name in named)
        return tuple(Company(tenant=tenant, company=company or None) for tenant, _, company in parts)
