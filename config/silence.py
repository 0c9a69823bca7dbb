"""The settings of the watcher: after how long nothing that came is an incident, and of whom."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.functional_validators import AfterValidator

from config.times import LONGEST, Span, Zone, span

__all__ = ["COUNTRIES", "LEARNT", "OFF", "After", "SilenceSettings"]

LEARNT: Final = "learnt"
OFF: Final = "off"
COUNTRIES: Final = ("DK", "FI", "NO", "SE")
_SUBJECT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,60}(?:/[^\s/]{1,100})?")

_WANTED: Final = "must be a time such as 26h, or learnt, or off"

After = float | Literal["learnt", "off"]
"""Seconds, or `learnt` from what came before, or `off`."""


def _after(value: object) -> object:
    text = value.strip().lower() if isinstance(value, str) else value
    if text in (LEARNT, OFF):
        return text
    found = span(text)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise ValueError(_WANTED)  # noqa: TRY004 - pydantic takes it for its own
    try:
        seconds = float(found)
    except ValueError:
        raise ValueError(_WANTED) from None
    if not 0 < seconds <= LONGEST:
        raise ValueError(_WANTED)
    return seconds


def _named(value: object) -> object:
    """Take `a=26h,b=off` of a variable apart."""
    if not isinstance(value, str):
        return value
    return dict(part.strip().partition("=")[::2] for part in value.split(",") if part.strip())


def _subjects(values: Mapping[str, After]) -> dict[str, After]:
    for name in values:
        if not _SUBJECT.fullmatch(name):
            raise ValueError(f"{name[:60]!r} is no publisher, nor PUBLISHER/COMPANY")
    return dict(values)


def _items(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _days(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value.upper() not in COUNTRIES:
            try:
                date.fromisoformat(value if len(value) > len("12-24") else f"2024-{value}")
            except ValueError:
                wanted = f"{', '.join(COUNTRIES)}, or days such as 2026-05-15 or 12-24"
                raise ValueError(f"must be countries ({wanted})") from None
    return tuple(value.upper() for value in values)


AfterField = Annotated[After, BeforeValidator(_after)]


class SilenceSettings(BaseModel):
    """When nothing came for too long, and what else the watcher says; times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    after: AfterField = LEARNT
    companies: AfterField = LEARNT
    own: Annotated[dict[str, AfterField], BeforeValidator(_named), AfterValidator(_subjects)] = {}
    zone: Zone = "Europe/Oslo"
    holidays: Annotated[tuple[str, ...], BeforeValidator(_items), AfterValidator(_days)] = ("NO",)
    every: Span = 60

    def after_for(self, subject: str) -> After:
        """Return after how long nothing of a publisher, or of PUBLISHER/COMPANY, is an incident."""
        if subject in self.own:
            return self.own[subject]
        return self.companies if "/" in subject else self.after
