"""How safe an event must be before its webhook is answered 2xx."""

import re
from dataclasses import dataclass
from typing import Literal

_FORM = re.compile(r"(written|fsynced|replicated:([1-9]\d?))")


@dataclass(frozen=True, slots=True)
class Durability:
    """What a 2xx promises: written to the store's log, flushed to its disk, or held by so many replicas as well."""

    level: Literal["written", "fsynced", "replicated"] = "written"
    replicas: int = 0

    @classmethod
    def parse(cls, value: object) -> "Durability":
        """Read `written`, `fsynced` or `replicated:N`; raises ValueError for anything else."""
        if isinstance(value, cls):
            return value
        form = _FORM.fullmatch(value) if isinstance(value, str) else None
        if form is None:
            raise ValueError("must be written, fsynced or replicated:N with N from 1 to 99")
        if form[2]:
            return cls("replicated", int(form[2]))
        return cls("fsynced" if form[1] == "fsynced" else "written")

    def __str__(self) -> str:
        return f"{self.level}:{self.replicas}" if self.replicas else self.level
