"""Several servers that belong together, and what a test can do to any such deployment.

The methods block: a test that has load running beside them calls them in a thread.
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError
from support.servers import Server

__all__ = ["DATA", "Topology", "in_step"]

DATA = ("--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16mb")
"""Options of all servers that hold data."""

_TIMEOUT = 60.0  # seconds until a deployment must be as it should


class Topology(ABC):
    """Servers that belong together; `url` is how the router is told of them."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        """Those that hold data."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for `redis.url`."""

    @abstractmethod
    def start(self) -> None:
        """Start everything; return once it is complete: every replica in step with its master."""

    @abstractmethod
    def master(self, key: str = "") -> Server:
        """Return the server that takes the writes of a key, as far as those who decide that know."""

    @abstractmethod
    def complete(self) -> bool:
        """Whether everything runs and every replica is in step."""

    def await_replicas(self, key: str = "") -> None:
        """Return once every replica of the master of a key has what the master had when this was called."""
        master = self.master(key)
        goal = master.ask("INFO", "replication")["master_repl_offset"]

        def there() -> bool:
            found = master.ask("INFO", "replication")
            offsets = [value["offset"] for name, value in found.items() if re.fullmatch(r"slave\d+", name)]
            return bool(offsets) and min(offsets) >= goal

        self._await(there, "replicas in step")

    def cut_replication(self, key: str = "") -> None:
        """Let no replica get anything more from the master of a key, for as long as it runs."""
        master = self.master(key)
        master.ask("ACL", "SETUSER", "default", "-psync", "-sync", "-replconf")
        master.ask("CLIENT", "KILL", "TYPE", "replica")

    def kill_master(self, key: str = "") -> Server:
        """Kill the master of a key as a crash would; return it at once."""
        victim = self.master(key)
        victim.kill()
        return victim

    def freeze_master(self, key: str = "") -> Server:
        """Let the master of a key hang; return it at once."""
        victim = self.master(key)
        victim.freeze()
        return victim

    def await_failover(self, old: Server, key: str = "") -> Server:
        """Return the master of a key once it is another than `old`."""
        self._await(lambda: self.master(key) is not old, "another master")
        return self.master(key)

    def recover(self) -> None:
        """Start again what does not run, thaw what hangs; return once everything is complete."""
        for server in self._all():
            if server.frozen:
                server.thaw()
            if not server.running:
                server.start(wait=False)
        self._await(self.complete, "everything up and in step")

    def close(self) -> None:
        """End everything."""
        for server in self._all():
            server.kill()

    def _all(self) -> Sequence[Server]:
        return self.servers

    def _answering(self) -> list[Server]:
        return [server for server in self.servers if server.running and not server.frozen]

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while not _holds(condition):
            if time.monotonic() > deadline:
                logs = "\n".join(f"{server.log_file}:\n{server.log_file.read_text()[-500:]}" for server in self._all())
                raise AssertionError(f"not within {_TIMEOUT:g} s: {what}\n{logs}")
            time.sleep(0.02)


def in_step(master: Server, replicas: int) -> bool:
    """Whether so many replicas follow a master: WAIT counts those that are through with their first synchronisation."""
    return int(master.ask("WAIT", replicas, 100)) >= replicas if replicas else True


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except (RedisError, OSError, ValueError):  # nobody answers, or nobody knows
        return False
