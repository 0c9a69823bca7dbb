"""The settings of a forward: a subscription whose handler is a URL. Each is a table of its own, `[[forward]]`."""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyNetwork, SecretStr, model_validator
from pydantic.functional_validators import AfterValidator

from config.outgoing import check_target_url, signing_key
from config.reconcile import Names
from config.tables import checked as checked_tables
from config.times import Span, SpanOrOff, span

__all__ = ["BreakerTerms", "CoalesceTerms", "ForwardSettings", "LimitTerms", "RetryTerms", "checked"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS: Final = ("webhook-", "event-router-")
_OURS_ALONE: Final = frozenset(
    {"host", "content-type", "content-length", "transfer-encoding", "connection", "expect", "traceparent"}
)


def _name(value: str) -> str:
    if value and not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 60 letters, digits, '.', '_' and '-'")
    return value


def _url(value: str) -> str:
    return check_target_url(value) if value else value


def _secret(value: SecretStr) -> SecretStr:
    """Take a secret as Standard Webhooks has it, which all its libraries read."""
    signing_key(value.get_secret_value())
    return value


def _items(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _headers(values: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in values.items():
        text = value.get_secret_value()
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name[:60]!r} is no name of a header")
        if name.lower().startswith(_OURS) or name.lower() in _OURS_ALONE:
            raise ValueError(f"{name[:60]!r} is set by the forward itself")
        if not text.isascii() or not text.isprintable():
            raise ValueError(f"the value of {name[:60]!r} holds characters that a header cannot have")
    return values


def _off(value: object) -> object:
    """Take what is empty for None: TOML has no word for it."""
    return None if value in ("", 0, {}) and value is not False else value


def _switch(value: object) -> object:
    """Take true for terms as they are by default, false for none."""
    text = value.lower() if isinstance(value, str) else value
    return {} if text in (True, "true") else None if text in (False, "false") else value


class _Terms(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Count = Annotated[int, Field(gt=0)]
OptionalFile = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class RetryTerms(_Terms):
    """When a failed event is tried again, and how often: see `workers.Retry`."""

    max_attempts: Count = 8
    first_delay: SpanOrOff = 2.0
    max_delay: Span = 900.0

    @model_validator(mode="after")
    def _in_order(self) -> "RetryTerms":
        if self.first_delay > self.max_delay:
            raise ValueError("must have first_delay <= max_delay")
        return self


class CoalesceTerms(_Terms):
    """Which events of a key are merged into a later one: see `workers.Coalesce`."""

    quiet: SpanOrOff
    within: Span
    keep: Names = ("deleted", "status_changed", "action_triggered")
    most: Count = 500

    @model_validator(mode="after")
    def _in_order(self) -> "CoalesceTerms":
        if self.quiet > self.within:
            raise ValueError("must have quiet <= within")
        return self


class LimitTerms(_Terms):
    """How often the receiver is called, over all processes: see `workers.Limit`. Forwards that name one share it."""

    name: Annotated[str, AfterValidator(_name)] = ""
    rate: Annotated[Count | None, BeforeValidator(_off)] = None
    headers: str = ""
    per: Annotated[Literal["company", "tenant"] | None, BeforeValidator(_off)] = None
    window: Span = 3600.0
    reserve: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _one(self) -> "LimitTerms":
        if (self.rate is None) == (not self.headers):
            raise ValueError("must have rate, or headers to learn it from, and not both")
        return self


class BreakerTerms(_Terms):
    """When the receiver is left alone since it is down: see `workers.Breaker`."""

    failures: Count = 5
    interval: Annotated[float, BeforeValidator(span), Field(ge=0.01, le=3600, allow_inf_nan=False)] = 10.0


class ForwardSettings(_Terms):
    """One forward; one in which nothing is set is none, as the packaged file has it. Times in seconds."""

    name: Annotated[str, AfterValidator(_name)] = ""
    events: Names = ()
    url: Annotated[str, AfterValidator(_url)] = ""
    secrets: Annotated[tuple[Annotated[SecretStr, AfterValidator(_secret)], ...], BeforeValidator(_items)] = ()
    format: Literal["cloudevents", "raw"] = "cloudevents"
    where: dict[str, Any] = {}
    key: Annotated[Literal["resource", "company"] | None, BeforeValidator(_off)] = None
    coalesce: Annotated[CoalesceTerms | None, BeforeValidator(_off)] = None
    after_dead: Literal["continue", "hold"] = "continue"
    per_company: Annotated[Count | None, BeforeValidator(_off)] = None
    fair_by: Annotated[Literal["company"] | None, BeforeValidator(_off)] = "company"
    concurrency: Annotated[int, Field(gt=0, le=1000)] = 32
    timeout: Span = 30.0
    retry: RetryTerms = RetryTerms()
    limit: Annotated[LimitTerms | None, BeforeValidator(_off)] = None
    breaker: Annotated[BreakerTerms | None, BeforeValidator(_switch)] = BreakerTerms()
    defer_max: Span = 259_200.0
    start: Literal["earliest", "latest"] = "earliest"
    feedback: bool = False
    headers: Annotated[dict[str, SecretStr], AfterValidator(_headers)] = {}
    allow_private: Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_items)] = ()
    ca_file: OptionalFile = None
    client_cert: OptionalFile = None
    client_key: OptionalFile = None

    @property
    def host(self) -> str:
        """The host of the receiver, with its port where the URL names one."""
        return urlsplit(self.url).netloc

    @property
    def fault(self) -> str:
        """What is wrong with these settings together, in words that follow the forward's name; empty for nothing."""
        for missing in (field for field in ("events", "url", "secrets") if not getattr(self, field)):
            return f"has no {missing}: set {'secret_file' if missing == 'secrets' else missing}"
        is_plain = urlsplit(self.url).scheme == "http"
        faults = {
            'has coalesce and no key: set key = "resource"': self.coalesce is not None and self.key is None,
            'has after_dead = "hold" and no key: set key = "resource"': self.after_dead == "hold" and self.key is None,
            'has per_company: that takes fair_by = "company"': self.per_company is not None and self.fair_by is None,
            "has a client_key and no client_cert: set both": self.client_key is not None and self.client_cert is None,
            "has ca_file or client_cert and an http:// URL: set https://": is_plain
            and bool(self.ca_file or self.client_cert),
        }
        return next((fault for fault, is_so in faults.items() if is_so), "")


def checked(forwards: tuple[ForwardSettings, ...]) -> tuple[ForwardSettings, ...]:
    """Return the forwards without those in which nothing is set; raises ValueError where one cannot be."""
    return checked_tables(forwards, ForwardSettings())
