"""The settings: one frozen object, checked once at start. `router.toml` beside this module explains every one."""

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyNetwork, SecretStr
from pydantic.functional_validators import AfterValidator

from config.archive import ArchiveSettings
from config.durability import Durability
from config.erp import ErpSettings
from config.forward import ForwardSettings, checked
from config.notify import NotifySettings
from config.notify import checked as checked_notifiers
from config.publisher_types import HeaderNames
from config.reconcile import ReconcileSettings
from config.silence import SilenceSettings
from config.times import Seconds, SecondsOrOff, WholeSeconds, WholeSecondsOrOff
from config.urls import check_redis_url

T = TypeVar("T")

_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,59}")
_TOKEN = re.compile(r"[!-~]{16,512}")  # visible ASCII


def fold_slug(slug: str) -> str:
    """Spell a publisher's slug as environment variables can: `visma-net-financial` is `visma_net_financial`."""
    return slug.lower().replace("-", "_")


def split_list(value: object) -> object:
    """Cut a comma-separated text into its items; anything else is left to the validator."""
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _some(value: object) -> object:
    """Cut a text into its items, of which there must be one: `$A,$B` with neither set must not let everyone in."""
    items = split_list(value)
    if isinstance(value, str) and not items:
        raise ValueError("names no network; leave it out to have none")
    return items


def _no_strangers(networks: tuple[IPvAnyNetwork, ...]) -> tuple[IPvAnyNetwork, ...]:
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("must not be every address: anyone could then claim any; name the proxies")
    return networks


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _token(value: object) -> object:
    """Take a bearer token as it can stand in a header; a wrong one is never repeated by the message."""
    if value == "" or value is None:
        return None
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or not _TOKEN.fullmatch(text.strip()):
        raise ValueError("must be a text of 16 to 512 letters, digits or signs, without blanks")
    return text.strip()


def _by_slug(values: dict[str, T]) -> dict[str, T]:
    return {fold_slug(slug): value for slug, value in values.items()}


def _set_up(values: dict[str, ErpSettings]) -> dict[str, ErpSettings]:
    """Leave out sections in which nothing is set, as the packaged file has them."""
    return _by_slug({slug: value for slug, value in values.items() if value != ErpSettings()})


def _tables(value: object) -> object:
    """Take a list of tables; where it is another thing, the doubled brackets are missing."""
    if not isinstance(value, list | tuple):
        raise ValueError("is a list of tables: write it in double brackets, once above each")  # noqa: TRY004 - pydantic
    return value


def _swept(values: dict[str, ReconcileSettings]) -> dict[str, ReconcileSettings]:
    """Leave out sections in which nothing is set, as the packaged file has them; a name becomes part of keys."""
    for name in values:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:60]!r} is no name: use a to z, digits and '_'")
    return {name: value for name, value in values.items() if value != ReconcileSettings()}


Port = Annotated[int, Field(ge=0, le=65535)]
Host = Annotated[str, Field(min_length=1)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_some)]
Proxies = Annotated[Networks, AfterValidator(_no_strangers)]
Hints = Annotated[HeaderNames, BeforeValidator(split_list)]
Slugs = Annotated[tuple[str, ...], BeforeValidator(split_list)]
Secrets = Annotated[tuple[Annotated[SecretStr, Field(min_length=1)], ...], BeforeValidator(split_list)]
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]
Token = Annotated[SecretStr | None, BeforeValidator(_token)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RedisSettings(_Section):
    """Where the streams are; times in seconds."""

    url: Annotated[str, AfterValidator(check_redis_url)] = "embedded"
    prefix: str = Field(default="er", pattern=r"^[A-Za-z0-9:_-]+$")
    connect_timeout: Seconds = 2
    command_timeout: Seconds = 5
    allow_eviction: bool = False


class IngressSettings(_Section):
    """The port that receives webhooks; times in seconds, sizes in bytes."""

    host: Host = "0.0.0.0"  # noqa: S104  a webhook receiver is there to be reached
    port: Port = 8080
    processes: int = Field(default=1, ge=1)
    max_body: int = Field(default=1_048_576, gt=0)
    header_timeout: Seconds = 10
    body_timeout: Seconds = 10
    keepalive: Seconds = 75
    store_timeout: Seconds = 2
    durability: Annotated[Durability, BeforeValidator(Durability.parse)] = Durability()
    spool_max_bytes: int = Field(default=1024**3, ge=0)
    retry_after: WholeSeconds = 5
    allow: Networks = ()
    trusted_proxies: Proxies = ()
    rate_limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    rate_burst: int = Field(default=100, gt=0)
    dedup_window: WholeSeconds = 7 * 24 * 3600
    shutdown_timeout: Seconds = 20


class OpsSettings(_Section):
    """The port for health, readiness and metrics, and the bearer token that all but health asks for."""

    host: Host = "127.0.0.1"
    port: Port = 9090
    token: Token = None


class WorkerSettings(_Section):
    """How subscriptions read and how long they hold on; times in seconds."""

    lease: Seconds = 15
    prefetch: int = Field(default=1000, gt=0)
    block: Seconds = 5
    sweep_interval: Seconds = 300
    shutdown_timeout: Seconds = 20


class RetentionSettings(_Section):
    """How long things are kept; times in seconds, and an age or a count of 0 keeps everything."""

    interval: Seconds = 300
    events: Seconds = 7 * 24 * 3600
    dead_letters_age: SecondsOrOff = 0
    dead_letters_count: int = Field(default=0, ge=0)
    quarantine_age: SecondsOrOff = 0
    quarantine_count: int = Field(default=0, ge=0)


class DriftSettings(_Section):
    """Whether the fields of each type are learnt, and when a change of them is reported; times in seconds."""

    enabled: bool = True
    learn: int = Field(default=500, ge=50, le=100_000)
    usual: float = Field(default=0.95, ge=0.5, le=1)
    every: Seconds = 10


class LogSettings(_Section):
    """What is logged and how."""

    level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)] = "info"
    format: Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)] = "auto"


class TracingSettings(_Section):
    """Whether spans are made, and of which share of the requests."""

    enabled: bool = False
    sample_ratio: float = Field(default=1.0, ge=0, le=1)


class Settings(_Section):
    """All settings. `load_settings` makes it of the file and the environment."""

    redis: RedisSettings = RedisSettings()
    ingress: IngressSettings = IngressSettings()
    ops: OpsSettings = OpsSettings()
    workers: WorkerSettings = WorkerSettings()
    retention: RetentionSettings = RetentionSettings()
    archive: ArchiveSettings = ArchiveSettings()
    silence: SilenceSettings = SilenceSettings()
    drift: DriftSettings = DriftSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    data_dir: Path = Path("data")
    publishers_dir: OptionalPath = None
    publishers: Slugs = ()
    allow_unsigned: Slugs = ()
    hints: Annotated[dict[str, Hints], AfterValidator(_by_slug)] = {}
    secrets: Annotated[dict[str, Secrets], AfterValidator(_by_slug)] = {}
    dedup_windows: Annotated[dict[str, WholeSecondsOrOff], AfterValidator(_by_slug)] = {}
    erp: Annotated[dict[str, ErpSettings], AfterValidator(_set_up)] = {}
    reconcile: Annotated[dict[str, ReconcileSettings], AfterValidator(_swept)] = {}
    forward: Annotated[tuple[ForwardSettings, ...], BeforeValidator(_tables), AfterValidator(checked)] = ()
    notify: Annotated[tuple[NotifySettings, ...], BeforeValidator(_tables), AfterValidator(checked_notifiers)] = ()

    def secrets_for(self, slug: str) -> tuple[bytes, ...]:
        """Return the publisher's accepted secrets as UTF-8 bytes; none when it has none."""
        return tuple(secret.get_secret_value().encode() for secret in self.secrets.get(fold_slug(slug), ()))

    def wants(self, slug: str) -> bool:
        """Tell whether a publisher that is there only on demand is to be in the catalogue."""
        named = (*self.publishers, *self.allow_unsigned, *self.secrets)
        return fold_slug(slug) in map(fold_slug, named)

    def hints_for(self, slug: str) -> tuple[str, ...]:
        """Return the headers that are kept with a publisher's events besides those its file lists."""
        return self.hints.get(fold_slug(slug), ())

    def erp_for(self, slug: str) -> ErpSettings:
        """Return the ERP of a publisher; one in which nothing is set where there is none."""
        return self.erp.get(fold_slug(slug), ErpSettings())

    def allows_unsigned(self, slug: str) -> bool:
        """Tell whether the publisher may send without a signature."""
        return fold_slug(slug) in map(fold_slug, self.allow_unsigned)
