"""A Redis Cluster: its masters, their replicas, and slots that move."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import RedisError
from support.ports import reserve
from support.servers import Server
from support.topology import DATA, Topology, in_step

__all__ = ["Cluster"]


class Cluster(Topology):
    """Three masters, each with so many replicas; a node is taken for dead after `node_timeout` seconds."""

    MASTERS = 3

    def __init__(
        self, folder: Path, *options: str, replicas: int = 1, node_timeout: float = 1.0, program: str | None = None
    ) -> None:
        super().__init__()
        nodes = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(round(node_timeout * 1000)))
        self.servers = [
            Server(folder / str(n), *DATA, *nodes, "--cluster-port", str(reserve()), *options, program=program)
            for n in range(self.MASTERS * (1 + replicas))
        ]

    @property
    def url(self) -> str:
        """The URL that names one node."""
        return f"redis+cluster://127.0.0.1:{self.servers[0].port}"

    def start(self) -> None:
        """Start the nodes, and make them a cluster."""
        for server in self.servers:
            server.start(wait=False)
        for server in self.servers:
            server.wait_until_ready()
        self._share_slots()
        first = self.servers[0]
        for server in self.servers[1:]:
            first.ask("CLUSTER", "MEET", "127.0.0.1", server.port, _bus_port(server))
        self._await(lambda: all(_known(server) == len(self.servers) for server in self.servers), "a full acquaintance")
        ids = [_id_of(server) for server in self.servers[: self.MASTERS]]
        for replica, master in zip(self.servers[self.MASTERS :], itertools.cycle(ids)):
            replica.ask("CLUSTER", "REPLICATE", master)
        self._await(self.complete, "a cluster of masters and replicas")

    def master(self, key: str = "") -> Server:
        """Return the node that most of the running nodes name as the owner of a key's slot."""
        return self.owner(key_slot(key.encode()))

    def owner(self, slot: int) -> Server:
        """Return the node that most of the running nodes name as the owner of a slot."""
        named = [port for server in self._answering() for port in _owners(server, slot)]
        port = max(named, key=named.count)
        return next(server for server in self.servers if server.port == port)

    def masters(self) -> list[Server]:
        """Return the nodes that own slots."""
        ports = {row[2][1] for row in self._answering()[0].ask("CLUSTER", "SLOTS")}
        return [server for server in self.servers if server.port in ports]

    def complete(self) -> bool:
        """Whether all nodes find the cluster whole, with every replica in step."""
        whole = all("cluster_state:ok" in server.ask("CLUSTER", "INFO") for server in self.servers)
        replicas = len(self.servers) // self.MASTERS - 1
        return whole and len(self.masters()) == self.MASTERS and all(in_step(m, replicas) for m in self.masters())

    def move_slots(self, keys: Sequence[str]) -> Server:
        """Move the slots of some keys of one node to another node, key by key, as any server can; return that node."""
        slots, source, target = self._removal(keys)
        for slot in slots:
            self._move_slot(slot, source, target)
        return target

    def move_slots_at_once(self, keys: Sequence[str]) -> Server:
        """Move the slots of some keys of one node to another node as Valkey 9 does: all at once, at the end."""
        slots, source, target = self._removal(keys)
        ranges = [text for slot in slots for text in (slot, slot)]
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *ranges, "NODE", _id_of(target))
        self._await(lambda: all(self.owner(slot) is target for slot in slots), "the slots at their new owner")
        return target

    def _removal(self, keys: Sequence[str]) -> tuple[list[int], Server, Server]:
        """Return which slots are to be moved, from where, and to where."""
        slots = sorted({key_slot(key.encode()) for key in keys})
        source = self.owner(slots[0])
        return slots, source, next(server for server in self.masters() if server is not source)

    def _move_slot(self, slot: int, source: Server, target: Server) -> None:
        to, origin = _id_of(target), _id_of(source)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", origin)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to)
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for server in (target, *(master for master in self.masters() if master is not target)):
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", to)

    def _share_slots(self) -> None:
        each = REDIS_CLUSTER_HASH_SLOTS // self.MASTERS
        for number, server in enumerate(self.servers[: self.MASTERS]):
            last = REDIS_CLUSTER_HASH_SLOTS - 1 if number == self.MASTERS - 1 else (number + 1) * each - 1
            server.ask("CLUSTER", "ADDSLOTSRANGE", number * each, last)
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)


def _known(server: Server) -> int:
    lines = [line for line in server.ask("CLUSTER", "NODES").splitlines() if "handshake" not in line]
    return len(lines)


def _id_of(server: Server) -> str:
    return str(server.ask("CLUSTER", "MYID"))


def _owners(server: Server, slot: int) -> Iterator[int]:
    with contextlib.suppress(RedisError, OSError):
        for first, last, owner, *_ in server.ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                yield int(owner[1])


def _bus_port(server: Server) -> str:
    return server.options[server.options.index("--cluster-port") + 1]
