"""The settings of a publisher's ERP: where workers fetch the records that events name, and as which client."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.functional_validators import AfterValidator, BeforeValidator

from config.times import Seconds, SecondsOrOff

_NEEDED = ("base_url", "client_id", "client_secret")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _check_url(url: str) -> str:
    """Refuse what is no address of a server alone: what a URL holds besides would be sent with each request."""
    if not url:
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError as error:
        raise ValueError(f"must be a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be a URL such as https://api.finance.visma.net/")
    if "@" in parts.netloc or "?" in url or "#" in url or "\\" in url:
        raise ValueError("must hold neither a user nor a query: only https://HOST/PATH/")
    return url


def _check_base(url: str) -> str:
    """Return the base with a slash at its end: paths are written behind it."""
    return f"{checked}/" if (checked := _check_url(url)) and not checked.endswith("/") else checked


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_there = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_there and parts.scheme in ("http", "https") and parts.path in ("", "/") and not parts.query


def _check_proxy(proxy: SecretStr | None) -> SecretStr | None:
    """Refuse what is no proxy: an address of HTTP, where a user and a password may stand before the host."""
    if proxy is None:
        return None
    if not _is_proxy(proxy.get_secret_value()):
        raise ValueError(
            "must be a proxy such as http://proxy.example:3128, with USER:PASSWORD@ before the host if needed"
        )
    return proxy


def _secret(value: object) -> object:
    """Take a client secret without the blanks around it; an empty one is none."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return (text.strip() or None) if isinstance(text, str) else text


class ErpSettings(BaseModel):
    """The interface of one ERP; off until it has a base, a client and its secret. Times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Annotated[str, AfterValidator(_check_base)] = ""
    token_url: Annotated[str, Field(min_length=1), AfterValidator(_check_url)] = (
        "https://connect.visma.com/connect/token"  # noqa: S105 - an address
    )
    client_id: str = ""
    client_secret: Annotated[SecretStr | None, BeforeValidator(_secret)] = None
    scope: str = "vismanet_erp_service_api:read"
    tenant_id: str = ""
    proxy: Annotated[SecretStr | None, BeforeValidator(_secret), AfterValidator(_check_proxy)] = None
    timeout: Seconds = 20
    background_wait: SecondsOrOff = 15
    max_body: int = Field(default=10 * 1024 * 1024, gt=0)
    connections: int = Field(default=20, gt=0)

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the settings that have to be set before anything can be fetched."""
        return tuple(name for name in _NEEDED if not getattr(self, name))

    @property
    def only_reads(self) -> bool:
        """Whether every scope that is asked for names itself as one for reading."""
        scopes = self.scope.split()
        return bool(scopes) and all(scope.endswith(":read") for scope in scopes)

    @property
    def in_clear(self) -> tuple[str, ...]:
        """The names of the settings whose URL would carry secrets over a network without encryption."""
        urls = {"base_url": urlsplit(self.base_url), "token_url": urlsplit(self.token_url)}
        return tuple(name for name, url in urls.items() if url.scheme == "http" and url.hostname not in _LOOPBACK)
