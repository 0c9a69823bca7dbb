"""The hours of a week by local time: what a subject usually does, it does at the same hour of the same weekday."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from workers.silence.holidays import is_holiday

__all__ = ["CELLS", "Week"]

CELLS: Final = 168
_SUNDAY: Final = 6


class Week:
    """Says which of the 168 hours of a week an hour is; a holiday's are those of Sunday."""

    def __init__(self, zone: str, holidays: Sequence[str]) -> None:
        self._zone = ZoneInfo(zone)
        self._holidays = tuple(holidays)
        self.cell = lru_cache(maxsize=512)(self._cell)

    def _cell(self, hour: int) -> int:
        """Return the place of an hour, counted since 1970, in the week; 0 is the first of Monday."""
        local = datetime.fromtimestamp(hour * 3600, self._zone)
        day = _SUNDAY if is_holiday(local.date(), self._holidays) else local.weekday()
        return day * 24 + local.hour
