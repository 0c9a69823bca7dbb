"""The corpus of bodies that no sender should send; `tests/corpus/index.toml` says what each is and what it becomes."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Case", "load_corpus"]

_FOLDER = Path(__file__).parents[1] / "corpus"


@dataclass(frozen=True, slots=True)
class Case:
    """One body, and what is expected of it; see the head of the index for the fields."""

    name: str
    what: str
    body: bytes
    expect: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 202
    ids: tuple[str, ...] = ()
    event: dict[str, str | None] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


@cache
def load_corpus() -> tuple[Case, ...]:
    """Return all cases, in the order of the index."""
    with (_FOLDER / "index.toml").open("rb") as index:
        return tuple(_case(**row) for row in tomllib.load(index)["case"])


def _case(
    name: str,
    what: str,
    made: dict[str, Any] | None = None,
    expect: tuple[str, ...] = (),
    times: int = 1,
    event: dict[str, str] | None = None,
    **others: Any,
) -> Case:
    body = _made(**made) if made else (_FOLDER / "bodies" / name).read_bytes()
    values = {key: None if value == "none" else value for key, value in (event or {}).items()}
    return Case(name, what, body, tuple(expect) * times, event=values, **others)


def _made(unit: str, times: int, head: str = "", glue: str = "", tail: str = "") -> bytes:
    units = (unit.replace("{n}", str(number)) for number in range(times)) if "{n}" in unit else [unit] * times
    return f"{head}{glue.join(units)}{tail}".encode()
