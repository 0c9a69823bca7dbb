"""Handicaps for one process: Python imports this first when this folder is on its PYTHONPATH.

`FAULTS_CLOCK` says by how many seconds `time.time` is ahead; what measures durations stays right, as it does on a
machine whose clock is wrong. `FAULTS_FILE_SIZE` says how many bytes a file may have: writing more fails, much as it
does on a full disk.
"""

import os
import resource
import time

_ahead = float(os.environ.get("FAULTS_CLOCK", "0"))
_largest = int(os.environ.get("FAULTS_FILE_SIZE", "0"))
_time, _time_ns = time.time, time.time_ns

if _ahead:
    time.time = lambda: _time() + _ahead
    time.time_ns = lambda: _time_ns() + int(_ahead * 1e9)
if _largest:
    resource.setrlimit(resource.RLIMIT_FSIZE, (_largest, _largest))
