"""The handler of log records that writes them to a LogOutlet."""

import contextvars
import logging
from typing import Final

from router.telemetry.log_outlet import LogOutlet

_DROPPED: Final = "log_lines_dropped"
_UNREADABLE: Final = "log_line_unreadable"
_ADVICE: Final = "read the standard error of this process, or keep it in a file"


class OutletHandler(logging.Handler):
    """Writes records to a descriptor, in `encoding`, and never waits for its reader."""

    def __init__(self, descriptor: int, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding
        self._outlet = LogOutlet(descriptor, self._dropped)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; of one that cannot be rendered it is only said whose it was, and why."""
        try:
            line = self._rendered(record)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a caller has passed in must not break what it does
            line = self._own(_UNREADABLE, of=record.name, error=type(error).__name__)
        self._outlet.write(line)

    def flush(self) -> None:
        """Wait for what is not written yet, but not for long."""
        self._outlet.flush()

    def close(self) -> None:
        """Flush, and let go of what was opened."""
        self._outlet.close()
        super().close()

    def _rendered(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")

    def _dropped(self, count: int) -> bytes:
        return self._own(_DROPPED, count=count, advice=_ADVICE)

    def _own(self, event: str, **fields: object) -> bytes:
        """Return a line of the log's own, without what is bound to the line that it comes before."""
        record = logging.LogRecord("log", logging.WARNING, __file__, 0, event, (), None)
        vars(record).update(fields)
        return contextvars.Context().run(self._rendered, record)
