"""The settings of the archive: where finished events are written to before retention removes them, and how."""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.functional_validators import AfterValidator

from config.times import Seconds

__all__ = ["ArchiveSettings"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FORMS = "must be file:///FOLDER or s3://BUCKET/FOLDER"


def _check_place(value: str) -> str:
    """Return where the archive is, without a slash at its end; raise ValueError for what is no place."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError(_FORMS) from None
    if not value.isprintable() or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{_FORMS}, and nothing else")
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and re.match("/+[^/]", parts.path):
        return value.rstrip("/")
    if parts.scheme == "s3" and parts.netloc:
        return value.rstrip("/")
    raise ValueError(_FORMS)


def _check_endpoint(value: str) -> str:
    """Return the address of a server of S3: keys and events go to it, so it is encrypted or on this machine."""
    try:
        parts = urlsplit(value)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_address = False
    if value and (not is_address or "@" in value or "?" in value or "#" in value):
        raise ValueError("must be a URL such as https://s3.example.com")
    return value.rstrip("/")


def _secret(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return (text.strip() or None) if isinstance(text, str) else text


class ArchiveSettings(BaseModel):
    """Where and how events are archived; off until `to` is set. Times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: Annotated[str, AfterValidator(_check_place)] = ""
    format: Literal["jsonl", "parquet"] = "jsonl"
    object_bytes: Annotated[int, Field(ge=65_536, le=1024**3)] = 32 * 1024 * 1024
    timeout: Seconds = 60
    endpoint: Annotated[str, AfterValidator(_check_endpoint)] = ""
    region: str = ""
    access_key: str = ""
    secret_key: Annotated[SecretStr | None, BeforeValidator(_secret)] = None
    encryption: Literal["", "AES256", "aws:kms"] = ""
    kms_key: str = ""

    @property
    def folder(self) -> Path | None:
        """The folder that the archive is in; None where it is in a bucket, or nowhere."""
        return Path(unquote(urlsplit(self.to).path)) if self.to.startswith("file:") else None

    @property
    def bucket(self) -> tuple[str, str]:
        """The bucket that the archive is in, and the folder within it, which may be empty."""
        parts = urlsplit(self.to)
        return parts.netloc, parts.path.strip("/")

    @property
    def in_clear(self) -> bool:
        """Whether events would go over a network without encryption."""
        parts = urlsplit(self.endpoint)
        return parts.scheme == "http" and parts.hostname not in _LOOPBACK
