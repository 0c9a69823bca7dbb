"""Masters that die and slots that move, under load: everything goes on by itself, and nothing answered for is lost."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest
from faults.failover import Loaded, loaded
from faults.load import STREAMS
from faults.verdict import Verdict
from support.servers import Server
from support.topologies import Cluster, SentinelSet, Topology, running_cluster, running_sentinels
from support.waiting import eventually

from router.store.keys import Keys

pytestmark = [pytest.mark.real, pytest.mark.faults]

Fault = Callable[..., Awaitable[object]]

EVENTS = Keys().events
SOON = 30.0
"""Seconds after the death of a master within which all must be handled again: the deployment itself needs some."""


@pytest.fixture
def sentinels() -> Iterator[SentinelSet]:
    """Yield a master with two replicas under three sentinels."""
    with running_sentinels() as found:
        yield found


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Yield a Cluster of three masters with two replicas each, one of which is left when the other takes over."""
    with running_cluster(replicas=2) as found:
        yield found


async def lose_master(work: Loaded, topology: Topology, streams: Collection[str] = STREAMS) -> float:
    """Kill the master of these streams when its replicas have fallen behind; return when they surely had not yet."""
    key = EVENTS(next(iter(streams)))
    in_step = time.monotonic()
    await asyncio.to_thread(topology.await_replicas, key)
    await asyncio.to_thread(topology.cut_replication, key)
    before = len(work.journal.acknowledged)
    await eventually(lambda: len(work.journal.acknowledged) > before + 50)
    await replaced(work, topology, topology.kill_master, streams)
    return in_step


async def hang_master(work: Loaded, topology: Topology, streams: Collection[str] = STREAMS) -> None:
    """Let the master of these streams hang."""
    await replaced(work, topology, topology.freeze_master, streams)


async def replaced(work: Loaded, topology: Topology, strike: Callable[[str], Server], streams: Collection[str]) -> None:
    """Strike the master of these streams; return when all of them are handled again."""
    key = EVENTS(next(iter(streams)))
    dead, struck = await asyncio.to_thread(strike, key), time.monotonic()
    await asyncio.to_thread(topology.await_failover, dead, key)
    promoted = time.monotonic() - struck
    handled = await work.handled_after(struck, streams)
    print(f"another master after {promoted:.1f} s, all handled again after {handled:.1f} s")
    assert handled < SOON


def on_the_same_node(cluster: Cluster) -> list[str]:
    """Return the first stream, and those that share its node."""
    node = cluster.master(EVENTS(STREAMS[0]))
    return [stream for stream in STREAMS if cluster.master(EVENTS(stream)) is node]


async def kept_everything(work: Loaded) -> None:
    """Check that all that was answered for was handled, and nothing else was broken."""
    verdict = await work.verdict()
    report(verdict)
    assert verdict.passed, verdict.complaints()


def report(verdict: Verdict) -> dict[str, list[str]]:
    """Print the account; return what each subscription has lost."""
    lost = {name: len(ids) for name, ids in verdict.lost.items()}
    print(f"{verdict.totals}, handled again: {verdict.doubled}, answered for and lost: {lost}")
    return verdict.lost


@pytest.mark.parametrize("fault", [lose_master, hang_master])
@pytest.mark.long
async def test_sentinel_fails_over(tmp_path: Path, sentinels: SentinelSet, fault: Fault) -> None:
    """With `replicated:1` nothing that was answered 2xx is lost with the master; nobody believes it when it is back."""
    async with loaded(tmp_path, sentinels.url, ROUTER_INGRESS__DURABILITY="replicated:1") as work:
        await fault(work, sentinels)
        await asyncio.to_thread(sentinels.recover)
        await kept_everything(work)


@pytest.mark.long
async def test_what_is_only_written_can_be_lost(tmp_path: Path, sentinels: SentinelSet) -> None:
    """With `written` a failover loses what had reached no replica, and nothing but that; how much, is printed."""
    async with loaded(tmp_path, sentinels.url) as work:
        in_step = await lose_master(work, sentinels)
        verdict = await work.verdict()
        lost = report(verdict)
        gone = verdict.wrongs.get("acknowledged and not in its stream", [])
        print(f"gone from the streams: {len(gone)}")
        assert gone, "nothing was lost: this deployment cannot show that `replicated` helps"
        assert all(work.journal.acknowledged[id_] >= in_step for ids in (gone, *lost.values()) for id_ in ids)


@pytest.mark.cluster
@pytest.mark.long
@pytest.mark.parametrize("fault", [lose_master, hang_master])
async def test_a_cluster_fails_over(tmp_path: Path, cluster: Cluster, fault: Fault) -> None:
    """With `replicated:1` nothing that was answered 2xx is lost with a node."""
    async with loaded(tmp_path, cluster.url, ROUTER_INGRESS__DURABILITY="replicated:1") as work:
        await fault(work, cluster, on_the_same_node(cluster))
        await asyncio.to_thread(cluster.recover)
        await kept_everything(work)


@pytest.mark.cluster
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(Cluster.move_slots, id="key-by-key"),
        pytest.param(Cluster.move_slots_at_once, id="at-once", marks=pytest.mark.long),
    ],
)
async def test_slots_move(tmp_path: Path, cluster: Cluster, way: Callable[[Cluster, Sequence[str]], Server]) -> None:
    """Slots that move to another node under load take everything with them, markers and deliveries in hand too."""
    async with loaded(tmp_path, cluster.url) as work:
        streams = on_the_same_node(cluster)
        begun = time.monotonic()
        await asyncio.to_thread(way, cluster, [EVENTS(stream) for stream in streams])
        moved = time.monotonic()
        handled = await work.handled_after(moved, streams)
        print(f"{len(streams)} slots moved in {moved - begun:.2f} s, all handled again {handled:.2f} s later")
        await kept_everything(work)
