"""The closed loop: wrk with 64 connections, each of which sends its next request when it has its answer."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench.plan import WorkNotDone

__all__ = ["CONNECTIONS", "Outcome", "closed_loop", "is_installed"]

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("wrk.lua")


class Outcome(NamedTuple):
    """What wrk counted: answers of 2xx, the seconds they took, and the latency in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def is_installed() -> bool:
    """Tell whether wrk is there."""
    return shutil.which("wrk") is not None


def closed_loop(port: int, requests: Path, seconds: int, *, skip: int = 0) -> Outcome:
    """Send the requests of a file but the first `skip`; raises WorkNotDone when an answer is no 2xx, or none came."""
    with tempfile.NamedTemporaryFile("r") as outcome:
        url = f"http://127.0.0.1:{port}/"
        threads = ("-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", "10s")
        done = subprocess.run(
            ("wrk", *threads, "-s", str(_SCRIPT), url, "--", str(requests), str(skip)),
            env={**os.environ, "WRK_OUTCOME": outcome.name},
            capture_output=True,
            text=True,
            check=False,
        )
        text = outcome.read()
    if done.returncode or not text:
        raise WorkNotDone(f"wrk ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    counted = json.loads(text)
    if counted["failed"] or not counted["requests"]:
        raise WorkNotDone(f"{counted['failed']} of {counted['requests']} requests failed")
    if counted["left"] < 1:
        raise WorkNotDone("more requests were answered than had been made ready")
    return Outcome(counted["requests"], counted["seconds"], counted["p50"], counted["p99"])
