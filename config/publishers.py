"""Publishers as an operator writes them: one TOML file each, with its events, its signature and its names of fields.

A new publisher is a new file. A file is checked whole when it is read, so that a typo is found at start and
not by the first webhook.
"""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.errors import ConfigError
from config.files import read_regular
from config.publisher_types import (
    FieldValues,
    HeaderName,
    HeaderNames,
    RecordPath,
    Slug,
    Text,
    WireNames,
    Word,
    Words,
    fold,
)

PACKAGED = Path(__file__).with_suffix("")
"""The directory of the publisher files that come with the package."""

UNLISTED = "unlisted"
"""The type of every event whose name the catalogue does not list."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EventType(_Row):
    """One event of a publisher; `type` is its name here, `aliases` are names on the wire that do not fold to it.

    An item that has no event name is this event where it has all fields of one of the `shapes`, and none of them null.
    """

    type: Word
    entity: Word
    action: Word
    description: Text
    aliases: tuple[str, ...] = ()
    shapes: tuple[Annotated[WireNames, Field(min_length=1)], ...] = ()
    end_of_life: Text | None = None
    replaced_by: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name the event answers to, its type first."""
        return (self.type, *self.aliases)

    @property
    def wire_name(self) -> str:
        """The event's name on the wire where an item does not say it."""
        return self.aliases[0] if self.aliases else self.type


class SignatureScheme(_Row):
    """How a publisher signs the raw body, and the header (in lower case) that carries the signature."""

    scheme: Literal["hmac-sha256"]
    encoding: Literal["base64"]
    header: HeaderName


class Dialect(_Row):
    """For each field of an event the names a sender may give it, folded, the preferred one first.

    The defaults read both dialects of Visma.net Financial: that of the Changed events (contextId, relativeResourceUri)
    and that of the Created, Updated and Deleted events (companyId, entityLocation).

    Some fields only other publishers have. entity: what it happened to, where one event stands for all kinds of
    things. record_key: a list of objects whose values are the key of the record. deleted_at: the time, read before
    `timestamp` for what was deleted and after it for all else. origin: no sender has it; the router's own items do.
    """

    event: Annotated[WireNames, Field(min_length=1)] = ("event",)
    notification_id: WireNames = ("notificationid",)
    action: WireNames = ("action",)
    resource_id: WireNames = ("resourceid",)
    entity_id: WireNames = ("entityid",)
    entity: WireNames = ()
    record_key: WireNames = ()
    relative_path: WireNames = ("relativeresourceuri", "entitylocation")
    resource_uri: WireNames = ("resourceuri",)
    company_id: WireNames = ("contextid", "companyid")
    tenant_id: WireNames = ("tenantid",)
    timestamp: WireNames = ("timestamp",)
    deleted_at: WireNames = ()
    document_status: WireNames = ("documentstatus", "erpdocumentstatus")
    erp_event: WireNames = ("erpevent",)
    user_id: WireNames = ("userid",)
    api_client_id: WireNames = ("apiclientid",)
    connect_id: WireNames = ("connectid",)
    scheduled: WireNames = ("isscheduler", "ischeduler")
    origin: WireNames = ("eventrouterorigin",)

    @model_validator(mode="after")
    def _one_field_a_name(self) -> "Dialect":
        owners: dict[str, str] = {}
        for field, names in self:
            for name in names:
                if owners.setdefault(name, field) != field:
                    raise ValueError(f"{name!r} is a name of both {owners[name]} and {field}")
        return self


class Paths(_Row):
    """How the paths of a publisher's interface name records.

    escape: how a number with reserved characters is written, `A#1` as `b64(QSMx)` or percent-encoded. records: where
    the key of a record is not all that stands between slashes, `salesorder/{type}/{number}`: the last part takes all
    that is left, slashes too, except words behind it, which name something of the record.
    """

    escape: Literal["b64", "percent"] = "b64"
    records: tuple[RecordPath, ...] = ()


class Publisher(_Row):
    """One sender of webhooks; `slug` is its place in the URL, in stream names and the name of its file.

    absent: values that say nothing, for each field of the dialect. actions: the words for what happened, by the action
    on the wire, or else by the event's name there. only_on_demand: it is in the catalogue only where the settings have
    a secret for it or name it. hints: the headers that are kept with its events, unsigned, and never one that lets
    somebody in.
    """

    slug: Slug
    name: Text
    signature: SignatureScheme
    dialect: Dialect = Dialect()
    absent: FieldValues = ()
    actions: Words = ()
    only_on_demand: bool = False
    paths: Paths = Paths()
    hints: HeaderNames = ("x-vwd-*",)
    events: Annotated[tuple[EventType, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _absent_of_fields(self) -> "Publisher":
        for field, _ in self.absent:
            if field not in Dialect.model_fields:
                raise ValueError(f"absent: {field!r} is no field; known are {', '.join(Dialect.model_fields)}")
        return self

    @model_validator(mode="after")
    def _one_event_a_name(self) -> "Publisher":
        owners: dict[str, str] = {}
        for event in self.events:
            if event.type == UNLISTED:
                raise ValueError(f"events: the type {UNLISTED!r} is reserved for events the file does not list")
            for name, folded in zip(event.names, map(fold, event.names), strict=True):
                if not folded:
                    raise ValueError(f"events: {name!r} needs a letter or digit")
                if folded in owners:
                    raise ValueError(f"events: {name!r} and {owners[folded]!r} are one name, case and separators aside")
                owners[folded] = name
        return self


def load_publishers(*directories: Path, on_demand: bool = False) -> tuple[Publisher, ...]:
    """Read the publishers that come with the package, then those of each directory (its `*.toml`), in order of name.

    Those that are there only on demand are left out unless `on_demand` says otherwise. A later directory adds
    publishers, or replaces one by a file of the same name. Raises ConfigError naming the file, the key and the reason
    in one line.
    """
    files: dict[str, Path] = {}
    for directory in (PACKAGED, *directories):
        if not os.path.isdir(directory):  # noqa: PTH112 - False for a name that is too long, where Path raises
            raise ConfigError(f"{directory}: no such directory of publisher files")
        files |= {path.stem: path for path in sorted(directory.glob("*.toml"))}
    publishers = {slug: _read(path) for slug, path in files.items()}
    known = {f"{publisher.slug}/{event.type}" for publisher in publishers.values() for event in publisher.events}
    for slug, publisher in publishers.items():
        for event in publisher.events:
            for name in event.replaced_by:
                if name not in known:
                    raise ConfigError(f"{files[slug]}: events.{event.type}.replaced_by: {name!r} names no listed event")
    return tuple(found for found in publishers.values() if on_demand or not found.only_on_demand)


def _read(path: Path) -> Publisher:
    try:
        publisher = Publisher.model_validate(tomllib.loads(read_regular(path).decode()))
    except ValidationError as error:
        raise ConfigError(f"{path}: {'; '.join(_faults(error))}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    if publisher.slug != path.stem:
        raise ConfigError(f"{path}: slug: {publisher.slug!r} must be the file's name, {path.stem!r}")
    return publisher


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False):
        where = _key(fault["loc"])
        reason = fault["msg"].removeprefix("Value error, ")
        yield f"{where}: {reason}" if where else reason


def _key(path: tuple[Any, ...]) -> str:
    """`("events", 3, "type")` as `events[3].type`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
