"""Running out of memory.

A handler that takes all there is fails as with any other error, and what its frames held is free again at once. When
the worker's own code gets no memory, the process ends on the spot: it could not even stop in order, and would hang
about, neither alive nor dead. What it had in its hands counts as crashed then, as when the system kills it.
"""

import os
import traceback
from typing import NoReturn

from config.errors import causes

_MESSAGE = b"event-router: out of memory: this worker ends at once, and what it had in hand is delivered again\n"


def release(error: BaseException) -> None:
    """Let go of what the frames of a MemoryError hold; other errors keep theirs."""
    if isinstance(error, MemoryError):
        for cause in causes(error):
            traceback.clear_frames(cause.__traceback__)


def end_at_once() -> NoReturn:
    """End this process with exit code 1, whether anybody reads its standard error or not; allocates nothing."""
    try:
        os.set_blocking(2, False)
        os.write(2, _MESSAGE)
        os.set_blocking(2, True)  # others may share it
    finally:
        os._exit(1)
