"""From values to HTML: the templates, and how numbers and times are written in them."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape

from router.cli.output.results import clean, stamp

_NONE = "\N{EN DASH}"
_THIN = "\N{NARROW NO-BREAK SPACE}"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """Return a template filled in; every value is escaped."""
    return _environment().get_template(template).render(values)


@cache
def asset(name: str) -> tuple[bytes, str]:
    """Return a file of `static` and a digest that changes with it; raises FileNotFoundError."""
    body = files(__package__).joinpath("static", name).read_bytes()
    return body, hashlib.sha256(body).hexdigest()[:12]


def grouped(number: float | None) -> str:
    """Write a number with its thousands apart; None as a dash."""
    return _NONE if number is None else f"{int(number):,}".replace(",", _THIN)


def per_second(rate: float | None) -> str:
    """Write a rate as precisely as it is worth reading; None as a dash."""
    if rate is None:
        return _NONE
    if rate >= 10 or not rate:  # noqa: PLR2004 - two digits tell enough
        return grouped(round(rate))
    return f"{rate:.1f}" if rate >= 0.1 else f"{rate:.2f}"  # noqa: PLR2004 - likewise


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """Write how long ago a time was, in its largest unit."""
    if at is None:
        return _NONE
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{lasting(seconds)} ago" if seconds > 0 else f"in {lasting(-seconds)}"


def lasting(seconds: float) -> str:
    """Write a time that something takes, in its largest unit."""
    whole = int(seconds)
    return next((f"{grouped(whole // size)} {unit}" for size, unit in _UNITS if whole >= size), "< 1 s")


def moment(at: datetime | None) -> Markup:
    """Write a time as date and time in UTC, and how long ago that was."""
    if at is None:
        return Markup('<span class="none">{}</span>').format(_NONE)
    utc = at.astimezone(UTC)
    iso = stamp(utc)
    return Markup('<time datetime="{}" title="{}">{}<span class="ago">{}</span></time>').format(
        iso, iso, f"{utc:%Y-%m-%d %H:%M:%S}", ago(utc)
    )


def shown(value: object) -> Markup:
    """Write a value that may not be there, and of a text what prints: senders wrote it."""
    if value in (None, ""):
        return Markup('<span class="none">{}</span>').format(_NONE)
    if isinstance(value, bool):
        return Markup("yes" if value else "no")  # noqa: S704 - nothing of a sender
    return escape("\n".join(line and clean(line) for line in str(value).split("\n")))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ago=ago, grouped=grouped, lasting=lasting, moment=moment, per_second=per_second, shown=shown
    )
    environment.globals["asset"] = lambda name: f"/static/{name}?v={asset(name)[1]}"
    return environment
