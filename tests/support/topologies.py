"""Deployments of several servers that a test can break, each in a folder of its own, ended with the test."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.cluster import Cluster
from support.sentinel_set import SentinelSet
from support.topology import Topology

__all__ = ["Cluster", "SentinelSet", "Topology", "running_cluster", "running_sentinels"]


@contextlib.contextmanager
def running_sentinels(*options: str, **how: Any) -> Iterator[SentinelSet]:
    """Yield a deployment under Sentinel, in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="er-test-") as folder:
        yield from _running(SentinelSet(Path(folder), *options, **how))


@contextlib.contextmanager
def running_cluster(*options: str, **how: Any) -> Iterator[Cluster]:
    """Yield a Cluster, in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="er-test-") as folder:
        yield from _running(Cluster(Path(folder), *options, **how))


def _running(topology: Any) -> Iterator[Any]:
    try:
        topology.start()
        yield topology
    finally:
        topology.close()
