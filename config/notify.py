"""The settings of a notifier: who is to hear of incidents, and on which channel."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyNetwork, SecretStr
from pydantic.functional_validators import AfterValidator

from config.outgoing import check_target_url, signing_key
from config.reconcile import Names
from config.tables import checked as checked_tables
from config.times import Span, SpanOrOff, Zone, span

__all__ = ["Channel", "NotifySettings", "check_mail_address", "check_mail_host", "checked"]

Channel = Literal["teams", "slack", "webhook", "smtp"]

_ADDRESS: Final = re.compile(r"[^\s@<>(),;:\\\"\[\]]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "teams": ("url",),
    "slack": ("url",),
    "webhook": ("url", "secrets"),
    "smtp": ("host", "from", "to"),
}
_OF_MAIL: Final = ("host", "port", "starttls", "tls", "user", "password", "from", "to")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_FIELDS: Final = {"from": "sender"}
_OTHERS: Final[dict[str, tuple[str, ...]]] = {
    "teams": ("secrets", *_OF_MAIL),
    "slack": ("secrets", *_OF_MAIL),
    "webhook": _OF_MAIL,
    "smtp": ("url", "secrets", "allow_private"),
}
"""What has no meaning for a kind."""


def _secret(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return (text.strip() or None) if isinstance(text, str) else text


def _url(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        check_target_url(value.get_secret_value())
    return value


def _key(value: SecretStr) -> SecretStr:
    signing_key(value.get_secret_value())
    return value


def _addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        check_mail_address(value)
    return tuple(dict.fromkeys(values))


def check_mail_address(value: str) -> str:
    """Return the address of a mail, or an empty one, else raise ValueError."""
    if value and not (_ADDRESS.fullmatch(value) and value.isascii() and value.isprintable()):
        raise ValueError("must be an address such as ops@example.com, without a name around it")
    return value


def check_mail_host(value: str) -> str:
    """Return the host of a mail server, or an empty one, else raise ValueError."""
    if value and not _HOST.fullmatch(value):
        raise ValueError("must be the name or the address of a mail server, without its port")
    return value


def _name(value: str) -> str:
    if value and not _NAME.fullmatch(value):
        raise ValueError("must be a name of letters, digits, '-' and '_', at most 60")
    return value


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str | SecretStr) else value


def _split(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


Secret = Annotated[SecretStr | None, BeforeValidator(_secret)]
Secrets = Annotated[tuple[Annotated[SecretStr, AfterValidator(_key)], ...], BeforeValidator(_listed)]
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_split)]


class NotifySettings(BaseModel):
    """One notifier; one in which nothing is set is none, as the packaged file has it. Times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    name: Annotated[str, AfterValidator(_name)] = ""
    kind: Annotated[Channel | None, BeforeValidator(lambda value: value or None)] = None
    incidents: Names = ("*",)
    url: Annotated[Secret, AfterValidator(_url)] = None
    secrets: Secrets = ()
    allow_private: Networks = ()
    ca_file: OptionalPath = None
    host: Annotated[str, AfterValidator(check_mail_host)] = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    starttls: bool = True
    tls: bool = False
    user: str = ""
    password: Secret = None
    sender: Annotated[str, AfterValidator(check_mail_address)] = Field(default="", alias="from")
    to: Annotated[Names, AfterValidator(_addresses)] = ()
    zone: Zone = "UTC"
    every: SpanOrOff = 60
    fresh: Span = 86_400
    timeout: Annotated[float, BeforeValidator(span), Field(gt=0, le=300, allow_inf_nan=False)] = 10

    @property
    def fault(self) -> str:
        """What is wrong with these settings together, in words that follow the notifier's name; empty for nothing."""
        if not self.kind:
            return "has no kind: set teams, slack, webhook or smtp"
        if missing := [name for name in _NEEDED[self.kind] if not getattr(self, _FIELDS.get(name, name))]:
            return f"has no {missing[0]}: kind {self.kind} needs {_with_file(missing[0])}"
        nothing = NotifySettings()
        if others := [n for n in _OTHERS[self.kind] if getattr(self, f := _FIELDS.get(n, n)) != getattr(nothing, f)]:
            return f"has {others[0]}: that means nothing for kind {self.kind}, take it out"
        return self._clear

    @property
    def _clear(self) -> str:
        """What would show a secret to a network: a URL and a password are to be sent encrypted."""
        if self.url is not None and self.url.get_secret_value().startswith("http:") and not self.allow_private:
            return "has an http:// URL, which would show it to the network: write https://, or set allow_private"
        if bool(self.user) != bool(self.password):
            return "has a user or a password: set both, or none"
        if self.user and not self.is_encrypted and not self.is_local:
            return "would send its password without encryption: set starttls or tls"
        return ""

    @property
    def is_encrypted(self) -> bool:
        """Whether mails are handed over encrypted."""
        return self.tls or self.starttls

    @property
    def is_local(self) -> bool:
        """Whether the mail server is on this machine."""
        return self.host in _LOOPBACK

    @property
    def mail_port(self) -> int:
        """The port of the mail server: the one set, or else the one that is usual."""
        return self.port or (465 if self.tls else 587 if self.starttls else 25)

    def wants(self, kind: str) -> bool:
        """Return whether incidents of this kind are reported here."""
        return any(fnmatchcase(kind, glob) for glob in self.incidents)


def _with_file(name: str) -> str:
    return {"url": "url_file or url", "secrets": "secret_file or secret"}.get(name, name)


def checked(notifiers: tuple[NotifySettings, ...]) -> tuple[NotifySettings, ...]:
    """Return the notifiers without those in which nothing is set; raises ValueError where one cannot be."""
    return checked_tables(notifiers, NotifySettings())
