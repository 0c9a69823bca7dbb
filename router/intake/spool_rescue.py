"""Saving what waits in a spool whose files were deleted, replaced, moved or cut while they were open.

As long as the process lives it can read them, so all goes to a new file, which is found again after a restart.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable

from config.errors import ConfigError
from router.intake.spool import Spool
from router.intake.spool_file import Misplaced, SpoolFile
from router.tasks.ending import set_within
from router.tasks.outage import Reminder
from router.telemetry import logs

_LOOK = 1.0
"""Seconds between two looks at the files while something waits in them: the disk is looked at, not the store."""
_QUIET = 10.0
"""Seconds in which nothing is taken after the files were lost."""

_log = logs.get("spool")


class SpoolKeeper:
    """Sees whether the files of a spool are where they were opened, and saves what waits where they are not."""

    def __init__(self, spool: Spool, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._reminder = Reminder(monotonic)

    async def run(self) -> None:
        """Look whenever something waits in the files, until cancelled."""
        while True:
            await self._spool.needed()
            await self.look()
            await set_within(_LOOK, self._spool.alarm)

    async def look(self) -> None:
        """Look once; after a loss nothing is taken for a while, for who removed the files may not have finished."""
        spool = self._spool
        if not (fault := await spool.fault()):
            await spool.try_out()
            return
        spool.shut(f"its files are not where they were: {fault}", _QUIET)
        before, is_time = spool.entries, self._reminder.is_due()
        if is_time:
            _log.error("spool_lost", found=fault, entries=before, bytes=spool.bytes)
        try:
            path = await spool.replace(rescue)
        except sqlite3.Error as error:
            if is_time:
                advice = "put the folder back, or let the store answer: what waits is drained while this process lives"
                _log.error("spool_not_rescued", error=str(error), advice=advice)
        else:
            self._reminder.over()
            _log.warning("spool_rescued", file=str(path), entries=spool.entries, lost=max(0, before - spool.entries))


def rescue(old: SpoolFile) -> SpoolFile:
    """Put what waits in a file into a new one and close the old; raises sqlite3.Error where that cannot be now."""
    try:
        if not old.place.is_same_disk():
            raise Misplaced(f"{old.path.parent} is on another disk now")
        # Not under the old name: SQLite would take the log that may be left there for that of the new file.
        new = SpoolFile.claim(old.path.parent, without=old.path)
    except (OSError, ConfigError) as error:
        raise Misplaced(str(error)) from error
    try:
        damage = new.copy(old)
    except BaseException:
        new.close()
        raise
    new.logged |= old.logged
    if damage is None:
        with contextlib.suppress(sqlite3.Error):  # where its folder was renamed: nobody needs it there any more
            old.empty()
    else:
        _log.error(
            "spool_damaged", file=str(old.path), error=str(damage), consequence="what it held behind that is lost"
        )
    with contextlib.suppress(sqlite3.Error):
        old.close()
    return new
