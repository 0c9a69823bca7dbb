"""The promises under faults, on real processes. Long forms of the same runs: `make faults`, docs/faults.md."""

import os
from pathlib import Path

import pytest
from faults.faults import FAULTS
from faults.outcome import Outcome
from faults.random_faults import random_faults
from faults.report import HEADING, lines
from faults.scenarios import SCENARIOS

pytestmark = [pytest.mark.real, pytest.mark.faults]

SEED = int(os.environ.get("FAULTS_SEED", "20"))


def check(outcome: Outcome) -> None:
    """Print what happened, which pytest shows when it went wrong, and fail unless every promise was kept."""
    report = "\n".join(lines(outcome))
    print(report)
    assert outcome.passed, report


@pytest.mark.long
async def test_random_faults(tmp_path: Path) -> None:
    """Whatever breaks, every event arrives, is stored once, and comes twice only where the fault itself makes it."""
    print(f"seed {SEED}\n{HEADING}")
    check(await random_faults(tmp_path, seed=SEED, faults=len(FAULTS)))


@pytest.mark.parametrize("seconds", [3, pytest.param(10, marks=pytest.mark.long)])
async def test_redis_away(tmp_path: Path, seconds: int) -> None:
    """While the server is away every request is answered 2xx, and everything is handled after, in order."""
    check(await SCENARIOS["redis-away"](tmp_path, seed=SEED, length=seconds))


@pytest.mark.long
async def test_flushed(tmp_path: Path) -> None:
    """After FLUSHALL new events are handled again within two seconds, with nobody's help."""
    check(await SCENARIOS["flushed"](tmp_path, seed=SEED, length=2))


@pytest.mark.long
async def test_worker_restarts(tmp_path: Path) -> None:
    """A worker asked to stop under load loses nothing and makes nothing come twice."""
    check(await SCENARIOS["worker-restarts"](tmp_path, seed=SEED, length=5))


@pytest.mark.long
async def test_keyed(tmp_path: Path) -> None:
    """Wherever a worker is hit, each key has one handler at a time, in order, and nothing is lost."""
    check(await SCENARIOS["keyed"](tmp_path, seed=SEED, length=3))


@pytest.mark.long
async def test_wrong_clocks(tmp_path: Path) -> None:
    """Clocks that are wrong by minutes make no difference."""
    check(await SCENARIOS["wrong-clocks"](tmp_path, seed=SEED, length=4))


@pytest.mark.long
async def test_lost_replies(tmp_path: Path) -> None:
    """An append whose reply was lost is not made twice, however often that happens."""
    check(await SCENARIOS["lost-replies"](tmp_path, seed=SEED, length=8))


@pytest.mark.long
async def test_spool_full(tmp_path: Path) -> None:
    """When the spool is full the answer is 503 with Retry-After, and what was answered 2xx is not lost."""
    check(await SCENARIOS["spool-full"](tmp_path, seed=SEED, length=4))


@pytest.mark.long
async def test_disk_full(tmp_path: Path) -> None:
    """When the disk of the spool is full it is the same, and nothing that stays on it is stored twice."""
    check(await SCENARIOS["disk-full"](tmp_path, seed=SEED, length=4))
