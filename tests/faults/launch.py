"""Becomes another program, `python launch.py PROGRAM ARGUMENT...`, that the system kills when its parent is gone.

So a run that is itself killed leaves nothing behind, where the system can do that (Linux).
"""

import ctypes
import os
import signal
import sys

_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    os.execvp(sys.argv[1], sys.argv[1:])
