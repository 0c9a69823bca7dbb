"""Times as settings and commands take them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from config.errors import ConfigError
from config.settings import Settings
from config.sources import load_settings
from config.times import parse_duration, span

NO_TIMES = {
    *("port", "processes", "max_body", "spool_max_bytes", "rate_limit", "rate_burst", "prefetch", "dead_letters_count"),
    *("quarantine_count", "object_bytes", "learn", "usual", "sample_ratio", "connections", "max_deletes", "page_size"),
    *("reserve", "most", "concurrency", "max_attempts", "failures"),
}
"""Counts, sizes and shares."""


@pytest.mark.parametrize(
    ("text", "lasts"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        (" 26H ", timedelta(hours=26)),
        ("7d", timedelta(days=7)),
        ("1w", timedelta(weeks=1)),
        ("7", None),
        ("7 d", None),
        ("-7d", None),
        ("1.5h", None),
        ("\u0663d", None),
        ("1234567d", None),
        ("36525d", timedelta(days=36_525)),
        ("36526d", None),
        ("999999w", None),
        ("", None),
    ],
)
def test_durations(text: str, lasts: timedelta | None) -> None:
    """A number of at most six digits and a unit; everything else is no duration."""
    assert parse_duration(text) == lasts


def numbers(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each setting that is a number, in whatever table."""
    for name, field in model.model_fields.items():
        if field.annotation in (int, float):
            yield f"{path}{name}", field
        for table in tables(field.annotation):
            yield from numbers(table, f"{path}{name}.")


def tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from tables(part)


def test_every_time_may_have_a_unit() -> None:
    """A setting is a count, a size or a share, or takes 7d as well as 604800."""
    found = dict(numbers(Settings))
    assert {name.rpartition(".")[2] for name in found} >= NO_TIMES
    for name, field in found.items():
        takes_units = any(getattr(rule, "func", None) is span for rule in field.metadata)
        assert takes_units != (name.rpartition(".")[2] in NO_TIMES), name


def test_in_a_file_and_in_the_environment(tmp_path: Path) -> None:
    """Both are read alike, also where whole seconds are wanted."""
    file = tmp_path / "router.toml"
    file.write_text(
        '[retention]\nevents = "90d"\n[ingress]\ndedup_window = "1w"\n[dedup_windows]\nbusiness-nxt = "2h"\n'
    )
    settings = load_settings(file, {"ROUTER_WORKERS__LEASE": "1m"})
    assert settings.retention.events == 90 * 86_400
    assert settings.ingress.dedup_window == 7 * 86_400
    assert settings.dedup_windows == {"business_nxt": 7200}
    assert settings.workers.lease == 60


@pytest.mark.parametrize("value", ["7x", "d", "0s", "-1", "forever"])
def test_what_is_no_time_is_refused(value: str) -> None:
    """The message says how a time is written."""
    with pytest.raises(ConfigError, match=r"a number above 0, in seconds, or a time such as 90s, 10m, 1h or 7d"):
        load_settings(environ={"ROUTER_RETENTION__EVENTS": value})
