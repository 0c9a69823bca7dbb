"""The faults: each does its worst to a fleet, undoes it, and notes in its happening whose work may come twice.

None of them may lose an event, make one be stored twice, or leave a process that does not go on by itself.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Final

from faults.commands import LEASE
from faults.fleet import KEYED, Fleet
from faults.happening import Happening
from faults.load import STREAMS
from faults.member import Member
from faults.points import POINTS, Point

from router.store.keys import Keys

__all__ = ["FAULTS", "Fault"]

_PATIENCE = 60.0
"""Seconds until a worker comes to a point of its work."""
_LOOK = 0.005

Fault = Callable[[Fleet, Random, Happening], Awaitable[None]]

FAULTS: Final[dict[str, Fault]] = {}
"""Every fault by its name."""

_NOWHERE: Final = ("127.0.0.1", 1)
"""A primary that no replica can reach, so that it keeps its data and only refuses to write."""


def _fault(function: Fault) -> Fault:
    FAULTS[function.__name__.replace("_", " ")] = function
    return function


@_fault
async def kill_a_worker(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGKILL: what it had handled and not yet acknowledged comes again."""
    member = _choose(happening, random, fleet.workers)
    happening.killed.add(await member.replace(signal.SIGKILL))


@_fault
async def kill_between_the_hops(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGKILL of the worker that brings events, when they are in their lines and their stream has not moved on."""
    await _hit(fleet, happening, POINTS[0], _killed)


@_fault
async def freeze_between_the_hops(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGSTOP there for longer than the lease: another brings on, and this one goes on without knowing."""
    await _hit(fleet, happening, POINTS[0], partial(_frozen_there, random))


@_fault
async def kill_in_a_burial(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGKILL of a worker that has noted that an event is to be dead, before or after that has become a dead letter."""
    await _hit(fleet, happening, random.choice(POINTS[1:]), _killed)


@_fault
async def freeze_in_a_burial(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGSTOP there for longer than the lease: another finishes the burial, and this one goes on without knowing."""
    await _hit(fleet, happening, random.choice(POINTS[1:]), partial(_frozen_there, random))


@_fault
async def kill_an_ingress(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGKILL: what it had not answered is sent again."""
    await _choose(happening, random, fleet.ingresses).replace(signal.SIGKILL)


@_fault
async def kill_the_server(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGKILL, and start it on what its append-only file holds."""
    happening.rolled_back = fleet.fsync != "always"
    await fleet.server.replace(signal.SIGKILL)


@_fault
async def kill_everything(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGKILL of all processes at once."""
    happening.rolled_back = fleet.fsync != "always"
    happening.killed.update(member.pid for member in fleet.workers)
    await asyncio.gather(*(member.replace(signal.SIGKILL) for member in fleet.members))


@_fault
async def restart_a_worker(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGTERM under load: it finishes what runs and gives back the rest, so nothing comes twice."""
    await _choose(happening, random, fleet.workers).replace(signal.SIGTERM)


@_fault
async def restart_the_ingresses(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGTERM of one after the other, as a new version is rolled out."""
    for member in fleet.ingresses:
        await member.replace(signal.SIGTERM)
        await fleet.ready(member)


@_fault
async def restart_the_server(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGTERM, and start again."""
    await fleet.server.replace(signal.SIGTERM)


@_fault
async def take_the_server_away(fleet: Fleet, random: Random, happening: Happening) -> None:
    """Stop it, and start it only after a while."""
    await fleet.server.take_down()
    await _while(random, 2.0, 3.5)
    await fleet.server.start()


@_fault
async def lose_an_ingress_too(fleet: Fleet, random: Random, happening: Happening) -> None:
    """Stop the server, and then an ingress that has answered 2xx on the strength of its spool alone."""
    await fleet.server.take_down()
    await _while(random, 0.5, 1.0)
    await _choose(happening, random, fleet.ingresses).replace(_end(random))
    await _while(random, 1.0, 2.0)
    await fleet.server.start()


@_fault
async def lose_a_worker_too(fleet: Fleet, random: Random, happening: Happening) -> None:
    """Stop the server, and then a worker that cannot tell it what it has done; the next one starts without a server."""
    member = _choose(happening, random, fleet.workers)
    happening.killed.add(member.pid)
    await fleet.server.take_down()
    await _while(random, 0.1, 0.5)
    await member.replace(_end(random))
    await _while(random, 0.5, 2.0)
    await fleet.server.start()


@_fault
async def freeze_a_worker(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGSTOP for longer than the lease: the others take over what it holds, and it goes on without knowing."""
    member = _choose(happening, random, fleet.workers)
    happening.cut_off.add(member.pid)
    await _frozen(member, random, LEASE * 1.2, LEASE * 1.7)


@_fault
async def freeze_an_ingress(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGSTOP for a while."""
    await _frozen(_choose(happening, random, fleet.ingresses), random, 0.5, 2.0)


@_fault
async def freeze_the_server(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SIGSTOP for longer than commands may take, and than the lease."""
    await _frozen(fleet.server, random, LEASE * 1.2, LEASE * 1.7)


@_fault
async def pause_the_commands(fleet: Fleet, random: Random, happening: Happening) -> None:
    """CLIENT PAUSE: commands wait, and are carried out later than their senders believe."""
    seconds = random.uniform(1.0, 2.5)
    await fleet.command("CLIENT", "PAUSE", round(seconds * 1000), random.choice(("ALL", "WRITE")))
    await asyncio.sleep(seconds)


@_fault
async def put_the_server_to_sleep(fleet: Fleet, random: Random, happening: Happening) -> None:
    """DEBUG SLEEP: one slow command holds up all others."""
    await fleet.command("DEBUG", "SLEEP", round(random.uniform(1.0, 2.5), 1))


@_fault
async def fill_the_memory(fleet: Fleet, random: Random, happening: Happening) -> None:
    """Maxmemory of 1 MB with noeviction: what would need more is refused, what frees is not."""
    await fleet.command("CONFIG", "SET", "maxmemory", "1mb")
    await _while(random, 1.0, 2.5)
    await fleet.command("CONFIG", "SET", "maxmemory", "0")


@_fault
async def refuse_writes(fleet: Fleet, random: Random, happening: Happening) -> None:
    """REPLICAOF: the server is a read-only replica for a while, as a primary is that has been demoted."""
    await fleet.command("REPLICAOF", *_NOWHERE)
    await _while(random, 1.0, 2.5)
    await fleet.command("REPLICAOF", "NO", "ONE")


@_fault
async def forget_the_scripts(fleet: Fleet, random: Random, happening: Happening) -> None:
    """SCRIPT FLUSH, several times."""
    for _ in range(5):
        await fleet.command("SCRIPT", "FLUSH")
        await _while(random, 0.05, 0.3)


@_fault
async def drop_all_clients(fleet: Fleet, random: Random, happening: Happening) -> None:
    """CLIENT KILL of every connection, several times."""
    for _ in range(5):
        await fleet.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await _while(random, 0.05, 0.3)


@_fault
async def destroy_a_group(fleet: Fleet, random: Random, happening: Happening) -> None:
    """XGROUP DESTROY: it is made again at the earliest entry; all of that stream comes once more, but not to lines."""
    subscription, stream, keys = random.choice(fleet.subscriptions), STREAMS[-1], Keys()
    happening.target = subscription
    if subscription not in KEYED:  # the lines know what they were brought
        happening.destroyed.add((subscription, stream))
    for key in (keys.events(stream), keys.inbox(stream, subscription)):
        await fleet.command("XGROUP", "DESTROY", key, subscription)


@_fault
async def cut_the_network(fleet: Fleet, random: Random, happening: Happening) -> None:
    """Reset the connections of those behind the proxy, several times."""
    for _ in range(5):
        fleet.proxy.cut()
        await _while(random, 0.05, 0.3)


@_fault
async def refuse_connections(fleet: Fleet, random: Random, happening: Happening) -> None:
    """Nobody behind the proxy can connect, for longer than the lease."""
    happening.cut_off.add(fleet.workers[-1].pid)
    await fleet.proxy.refuse()
    await _while(random, LEASE * 1.2, LEASE * 1.7)
    fleet.proxy.heal()


@_fault
async def swallow_the_traffic(fleet: Fleet, random: Random, happening: Happening) -> None:
    """Be a black hole between the server and those behind the proxy, for longer than the lease."""
    happening.cut_off.add(fleet.workers[-1].pid)
    fleet.proxy.hold()
    await _while(random, LEASE * 1.2, LEASE * 1.7)
    fleet.proxy.heal()


@_fault
async def lose_replies(fleet: Fleet, random: Random, happening: Happening) -> None:
    """Do what those behind the proxy ask for and never let them hear of it, again and again for a while."""
    happening.cut_off.add(fleet.workers[-1].pid)
    fleet.proxy.lose_replies()
    await _while(random, 0.5, 2.5)
    fleet.proxy.heal()


@_fault
async def slow_the_network(fleet: Fleet, random: Random, happening: Happening) -> None:
    """Hold up all data of those behind the proxy, so much that heartbeats may come too late."""
    happening.cut_off.add(fleet.workers[-1].pid)
    fleet.proxy.delay = random.uniform(0.05, 0.2)
    await _while(random, 1.0, 2.5)
    fleet.proxy.heal()


def _choose(happening: Happening, random: Random, members: list[Member]) -> Member:
    member = random.choice(members)
    happening.target = member.name
    return member


def _end(random: Random) -> signal.Signals:
    return random.choice((signal.SIGKILL, signal.SIGTERM))


async def _hit(
    fleet: Fleet, happening: Happening, point: str, do: Callable[[Member, Happening], Awaitable[None]]
) -> None:
    """Do something to the worker that comes to a point next."""
    there = Point(fleet.ledger.folder, point)
    there.ask()
    async with asyncio.timeout(_PATIENCE):
        while (pid := there.stopped()) is None:  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(_LOOK)
    member = next(one for one in fleet.workers if one.pid == pid)
    happening.target, happening.began = member.name, time.monotonic()
    await do(member, happening)


async def _killed(member: Member, happening: Happening) -> None:
    happening.killed.add(await member.replace(signal.SIGKILL))


async def _frozen_there(random: Random, member: Member, happening: Happening) -> None:
    happening.cut_off.add(member.pid)
    await _frozen(member, random, LEASE * 1.2, LEASE * 1.7)


async def _frozen(member: Member, random: Random, least: float, most: float) -> None:
    member.signal(signal.SIGSTOP)
    await _while(random, least, most)
    member.signal(signal.SIGCONT)


async def _while(random: Random, least: float, most: float) -> None:
    await asyncio.sleep(random.uniform(least, most))
