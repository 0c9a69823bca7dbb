"""The settings: one frozen object, read and checked once at start.

Strongest first: `ROUTER_…` environment variables (`ROUTER_INGRESS__PORT`), the TOML file, the defaults below. An empty
variable counts as unset, because compose files and charts pass empty ones on. `router.toml` beside this module explains
every setting.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyNetwork, SecretStr, ValidationError
from pydantic.functional_validators import AfterValidator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.errors import ConfigError

__all__ = [
    "IngressSettings",
    "LogSettings",
    "OpsSettings",
    "RedisSettings",
    "Settings",
    "WorkerSettings",
    "load_settings",
    "redact_url",
]

_PREFIX = "ROUTER_"
_PLAIN = ("data_dir", "publishers_dir", "allow_unsigned")  # the settings outside any section
_REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_SHOWN = 120  # characters of a wrong value that an error message repeats


def redact_url(url: str) -> str:
    """Return the URL with its password as `***`: that before the host and those among the parameters."""
    url = re.sub(r"([?&][^=&#]*(?:password|secret)[^=&#]*=)[^&#]*", r"\1***", url, flags=re.IGNORECASE)
    return re.sub(r"^([\w+.-]+://)?([^:@/]*:)?.*@", r"\1\2***@", url, flags=re.DOTALL)


def _fold(slug: str) -> str:
    """Spell a publisher's slug as environment variables can: `visma-net-financial` is `visma_net_financial`."""
    return slug.lower().replace("-", "_")


def _split(value: object) -> object:
    """Cut a comma-separated text into its items; anything else is left to the validator."""
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _redis_url(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if value == "embedded" or (rest and scheme in _REDIS_SCHEMES):
        return value
    raise ValueError(f"must be embedded or a URL of {', '.join(f'{known}://' for known in _REDIS_SCHEMES)}")


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Host = Annotated[str, Field(min_length=1)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_split)]
Slugs = Annotated[tuple[str, ...], BeforeValidator(_split)]
Secrets = Annotated[tuple[Annotated[SecretStr, Field(min_length=1)], ...], BeforeValidator(_split)]
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RedisSettings(_Section):
    """Where the streams are; times in seconds."""

    url: Annotated[str, AfterValidator(_redis_url)] = "embedded"
    prefix: str = Field(default="er", pattern=r"^[A-Za-z0-9:_-]+$")
    connect_timeout: Seconds = 2
    command_timeout: Seconds = 5


class IngressSettings(_Section):
    """The port that receives webhooks; times in seconds, sizes in bytes."""

    host: Host = "0.0.0.0"  # noqa: S104  a webhook receiver is there to be reached
    port: Port = 8080
    processes: int = Field(default=1, ge=1)
    max_body: int = Field(default=1_048_576, gt=0)
    header_timeout: Seconds = 10
    body_timeout: Seconds = 10
    keepalive: Seconds = 75
    store_timeout: Seconds = 5
    retry_after: int = Field(default=5, gt=0)
    allow: Networks = ()
    trusted_proxies: Networks = ()
    dedup_window: int = Field(default=7 * 24 * 3600, gt=0)
    shutdown_timeout: Seconds = 20


class OpsSettings(_Section):
    """The port for health, readiness and metrics."""

    host: Host = "127.0.0.1"
    port: Port = 9090


class WorkerSettings(_Section):
    """How subscriptions read and how long they hold on; times in seconds."""

    lease: Seconds = 15
    prefetch: int = Field(default=1000, gt=0)
    block: Seconds = 5
    sweep_interval: Seconds = 300
    shutdown_timeout: Seconds = 20


class LogSettings(_Section):
    """What is logged and how."""

    level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)] = "info"
    format: Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)] = "auto"


class Settings(BaseSettings):
    """All settings. Made by `load_settings`; made directly, it reads neither file nor environment."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    redis: RedisSettings = RedisSettings()
    ingress: IngressSettings = IngressSettings()
    ops: OpsSettings = OpsSettings()
    workers: WorkerSettings = WorkerSettings()
    log: LogSettings = LogSettings()
    data_dir: Path = Path("data")
    publishers_dir: OptionalPath = None
    allow_unsigned: Slugs = ()
    secrets: Annotated[dict[str, Secrets], AfterValidator(lambda found: {_fold(k): v for k, v in found.items()})] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what is passed in: `load_settings` has already put the sources in order."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def secrets_for(self, slug: str) -> tuple[bytes, ...]:
        """Return the publisher's accepted secrets as UTF-8 bytes; none when it has none."""
        return tuple(secret.get_secret_value().encode() for secret in self.secrets.get(_fold(slug), ()))

    def allows_unsigned(self, slug: str) -> bool:
        """Tell whether the publisher may send without a signature."""
        return _fold(slug) in map(_fold, self.allow_unsigned)


_Values = dict[str, Any]


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `path` (else `ROUTER_CONFIG`, `./config/router.toml`, the packaged file) and `environ`.

    Raises ConfigError, one line, when a file cannot be read, a key is unknown or a value is not allowed.
    """
    environ = os.environ if environ is None else environ
    file = _choose_file(path, environ)
    weak, strong = _from_file(file), _from_environment(environ)
    try:
        return Settings(**_merge(weak, strong))
    except ValidationError as error:
        problems = [_explain(problem, strong, file) for problem in error.errors()]
    # Raised outside the handler: the original error repeats the values it was given, secrets among them.
    raise ConfigError("; ".join(problems))


def _merge(weak: _Values, strong: _Values) -> _Values:
    both = weak | strong
    for key in weak.keys() & strong.keys():
        if isinstance(weak[key], dict) and isinstance(strong[key], dict):
            both[key] = weak[key] | strong[key]
    return both


def _choose_file(path: Path | None, environ: Mapping[str, str]) -> Path:
    if named := path or environ.get(f"{_PREFIX}CONFIG"):
        return Path(named)
    local = Path("config", "router.toml")
    return local if local.is_file() else Path(__file__).with_name("router.toml")


def _from_file(file: Path) -> _Values:
    values = _parse(file)
    secrets = values.get("secrets")
    if isinstance(secrets, dict):
        values["secrets"] = _read_secrets(secrets, lambda key: f"{file}: secrets.{key}")
    return values


def _parse(file: Path) -> _Values:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); name an existing settings file") from error
    except ValueError as error:
        raise ConfigError(f"{file}: not a TOML file: {error}") from None


def _from_environment(environ: Mapping[str, str]) -> _Values:
    values: _Values = {}
    for name, value in environ.items():
        if value and name.startswith(_PREFIX):
            _place(values, name, value)
    if "secrets" in values:
        values["secrets"] = _read_secrets(values["secrets"], lambda key: _variable(["secrets", key]))
    return values


def _place(values: _Values, name: str, value: str) -> None:
    """Put one variable where it belongs; one without `__` that names no setting is somebody else's."""
    section, nested, key = name.removeprefix(_PREFIX).lower().partition("__")
    if section in Settings.model_fields and section not in _PLAIN:
        if not nested:
            raise ConfigError(f"{name}: a section, not a setting; set one of its settings, as in {name}__NAME")
        values.setdefault(section, {})[key] = value
    elif nested or section in _PLAIN:
        values[section + nested + key] = value


def _variable(keys: Sequence[str]) -> str:
    return _PREFIX + "__".join(keys).upper()


def _read_secrets(named: _Values, label: Callable[[str], str]) -> _Values:
    """Turn one source's `slug` and `slug_file` entries into the texts of each publisher's secrets."""
    found: dict[str, tuple[str, ...]] = {}
    for key, value in named.items():
        slug = _fold(key).removesuffix("_file")
        texts = _split(value) if slug == _fold(key) else _secret_lines(value, label(key))
        if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
            raise ConfigError(f"{label(key)}: holds no secret; give one or more, separated by commas")
        found[slug] = found.get(slug, ()) + tuple(texts)
    return found


def _secret_lines(file: object, label: str) -> tuple[str, ...]:
    try:
        lines = map(str.strip, Path(str(file)).read_text(encoding="utf-8-sig").splitlines())
    except OSError as error:
        raise ConfigError(f"{label}: {file} cannot be read ({error.strerror}); name a readable file") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{label}: {file} is not UTF-8 text; write one secret a line") from None
    if secrets := tuple(line for line in lines if line and not line.startswith("#")):
        return secrets
    raise ConfigError(f"{label}: {file} holds no secret; write one a line")


def _explain(problem: ErrorDetails, environment: _Values, file: Path) -> str:
    """Say in one line which setting is wrong, where it was set, to what, and what is allowed."""
    first, *rest = (str(part) for part in problem["loc"])
    keys = [first] if first in _PLAIN else [first, *rest[:1]]
    section = environment.get(first)
    in_environment = keys[1] in section if len(keys) > 1 and isinstance(section, dict) else section is not None
    where = _variable(keys) if in_environment else f"{file}: {'.'.join(keys)}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown setting; known are {', '.join(_known(keys))}"
    value = "" if first == "secrets" else f" = {redact_url(str(problem['input']))[:_SHOWN]!r}"
    return f"{where}{value}: {problem.get('ctx', {}).get('error', problem['msg'])}"


def _known(keys: Sequence[str]) -> list[str]:
    """Name the settings that stand beside an unknown one."""
    section = Settings.model_fields[keys[0]].default if len(keys) > 1 else None
    return sorted(type(section).model_fields if isinstance(section, _Section) else Settings.model_fields)
