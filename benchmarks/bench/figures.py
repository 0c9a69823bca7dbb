"""The medians of several parts, found by part, case, subject and measure."""

from collections.abc import Sequence
from typing import Any

from bench.stats import summary

__all__ = ["Figures"]


class Figures:
    """All methods raise KeyError for what was not measured."""

    def __init__(self, documents: Sequence[dict[str, Any]]) -> None:
        self._medians: dict[tuple[str, str, str, str], float] = {}
        for found in documents:
            for figure in found["figures"]:
                for measure, values in figure["measures"].items():
                    key = (found["part"], figure["case"], figure["subject"], measure)
                    self._medians[key] = summary(values).median

    def get(self, part: str, case: str, subject: str, measure: str) -> float:
        """Return a median."""
        return self._medians[part, case, subject, measure]

    def any_case(self, part: str, subject: str, measure: str) -> float:
        """Return the median of the last case that has such a subject."""
        return self._last(lambda key: (key[0], *key[2:]) == (part, subject, measure), subject)

    def last(self, part: str, case: str, measure: str) -> float:
        """Return the median of a case's last row."""
        return self._last(lambda key: (*key[:2], key[3]) == (part, case, measure), case)

    def _last(self, fits: Any, what: str) -> float:
        rows = [value for key, value in self._medians.items() if fits(key)]
        if not rows:
            raise KeyError(what)
        return rows[-1]
