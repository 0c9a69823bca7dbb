"""How a child says that it has started: with one byte through a pipe that its supervisor made for it.

Until then only our own code and the import of the user's modules have run, so its exit code is ours. Afterwards a
handler may end the process with any code, and 2 means nothing any more.
"""

import contextlib
import os

STARTED_FD = "ROUTER_STARTED_FD"
"""The environment variable that holds the descriptor of the end that the child writes to."""


def say_started() -> None:
    """Tell the supervisor, if there is one, that this process has started."""
    with contextlib.suppress(ValueError, OSError):
        # Taken out of the environment: in a process started by this one the number would mean something else.
        descriptor = int(os.environ.pop(STARTED_FD, ""))
        os.write(descriptor, b"+")
        os.close(descriptor)


class StartedPipe:
    """The pipe of one child, as its supervisor sees it."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)

    def handed_over(self) -> None:
        """Close the writing end here, once the child has it."""
        os.close(self.writing)

    def close(self) -> bool:
        """Close the reading end; return whether the child said that it had started."""
        try:
            return bool(os.read(self._reading, 1))
        except BlockingIOError:  # a process that the child left behind may still hold the other end
            return False
        finally:
            os.close(self._reading)
