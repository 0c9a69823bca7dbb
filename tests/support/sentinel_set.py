"""A master with replicas under Sentinel."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from support.ports import reserve
from support.servers import Server
from support.topology import DATA, Topology, in_step

__all__ = ["SentinelSet"]

_SERVICE = "router"


class SentinelSet(Topology):
    """One master, two replicas and three sentinels, that take a master for dead after `down_after` seconds."""

    def __init__(self, folder: Path, *options: str, down_after: float = 1.0, program: str | None = None) -> None:
        super().__init__()
        first = reserve()
        follow = ("--replicaof", "127.0.0.1", str(first))
        self.servers = [Server(folder / "0", *DATA, *options, port=first, program=program)]
        self.servers += [Server(folder / name, *DATA, *follow, *options, program=program) for name in ("1", "2")]
        ports = {secrets.token_hex(20): reserve() for _ in range(3)}
        self.sentinels = [
            Server(
                folder / f"sentinel-{name}",
                "--sentinel",
                port=port,
                program=program,
                config=self._config(name, ports, down_after),
            )
            for name, port in ports.items()
        ]

    @property
    def url(self) -> str:
        """The URL that names the sentinels."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{_SERVICE}/0"

    def start(self) -> None:
        """Start the master, then those who follow and watch it."""
        for server in self._all():
            server.start(wait=False)
        self._await(self.complete, "a master with two replicas, agreed on by three sentinels")

    def master(self, key: str = "") -> Server:
        """Return the master that most sentinels name."""
        named = [self._named_by(sentinel) for sentinel in self.sentinels if sentinel.running]
        port = max(named, key=named.count)
        return next(server for server in self.servers if server.port == port)

    def complete(self) -> bool:
        """Whether all sentinels name one master, which all replicas follow."""
        named = {self._named_by(sentinel) for sentinel in self.sentinels}
        if len(named) > 1 or not all(_sees_all(sentinel) for sentinel in self.sentinels):
            return False
        return in_step(self.master(), len(self.servers) - 1)

    def _all(self) -> Sequence[Server]:
        return [*self.servers, *self.sentinels]

    def _named_by(self, sentinel: Server) -> int:
        return int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", _SERVICE)[1])

    def _config(self, name: str, sentinels: dict[str, int], down_after: float) -> str:
        """Tell a sentinel of everybody, so that it need not wait to be told."""
        master, *replicas = (server.port for server in self.servers)
        return "\n".join(
            [
                f"sentinel myid {name}",
                f"sentinel monitor {_SERVICE} 127.0.0.1 {master} 2",
                f"sentinel down-after-milliseconds {_SERVICE} {round(down_after * 1000)}",
                f"sentinel failover-timeout {_SERVICE} 3000",
                f"sentinel parallel-syncs {_SERVICE} 2",
                *(f"sentinel known-replica {_SERVICE} 127.0.0.1 {port}" for port in replicas),
                *(
                    f"sentinel known-sentinel {_SERVICE} 127.0.0.1 {port} {other}"
                    for other, port in sentinels.items()
                    if other != name
                ),
                "",
            ]
        )


def _sees_all(sentinel: Server) -> bool:
    row = sentinel.ask("SENTINEL", "MASTER", _SERVICE)
    state = row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))
    return state["flags"] == "master" and (int(state["num-slaves"]), int(state["num-other-sentinels"])) == (2, 2)
