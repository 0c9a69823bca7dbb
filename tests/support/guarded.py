"""A server with the users of `config/acl/users.acl`, which tells whom it refused what."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.ports import reserve
from support.servers import Server, starting
from support.waiting import eventually

import config

__all__ = [
    "SENTINEL_USERS",
    "USERS",
    "GuardedServer",
    "access",
    "granted",
    "guarded_server",
    "refusals",
    "with_passwords",
]

USERS = Path(config.__file__).with_name("acl") / "users.acl"
SENTINEL_USERS = USERS.with_name("sentinel.acl")

_OPTIONAL = "command config|get"
"""It would tell passwords too, and the router only asks whether it may know how often the server flushes."""
_ON_A_CLUSTER = {"cluster|slots", "command", "exists"}
_ON_A_SERVER = {"select", "wait"}
"""What only the other one of the two deployments is seen to run."""


def access(user: str = "admin") -> dict[str, str]:
    """Return name and password of a user."""
    return {"username": user, "password": f"password-of-{user}"}


def with_passwords(users: Path, folder: Path) -> str:
    """Write a file of users anew, each with a password; return its path."""
    text = re.sub(r"^user (?!default)(\S+) on", _with_password, users.read_text(), flags=re.MULTILINE)
    (folder / users.name).write_text(text)
    return str(folder / users.name)


def _with_password(found: re.Match[str]) -> str:
    return f"{found[0]} >{access(found[1])['password']}"


def refusals(server: Server) -> list[str]:
    """Return who was refused what, inside scripts too, but for what the router does without."""
    log = server.ask("ACL", "LOG", **access())
    found = {f"{entry['username']}: {entry['reason']} {entry['object']}" for entry in log}
    return sorted(line for line in found if not line.endswith(_OPTIONAL))


def granted(user: str) -> set[str]:
    """Return the commands that a user may run."""
    [line] = re.findall(rf"^user {user} .*", USERS.read_text(), flags=re.MULTILINE)
    return set(re.findall(r"\+([a-z|]+)", line))


class GuardedServer:
    """Watches what its users do; as a Cluster it is one of a single node."""

    def __init__(self, server: Server, *, cluster: bool) -> None:
        self.server = server
        self.cluster = cluster
        self.db = 0 if cluster else 1

    def url(self, user: str = "admin") -> str:
        """Return the URL for a user."""
        scheme = "redis+cluster" if self.cluster else "redis"
        return f"{scheme}://{user}:{access(user)['password']}@127.0.0.1:{self.server.port}/{self.db}"

    def ask(self, *command: object, user: str = "admin") -> Any:
        """Run a command as a user; raises what redis-py raises."""
        return self.server.ask(*command, **access(user), db=self.db)

    def refusals(self) -> list[str]:
        """Return who was refused what, inside scripts too."""
        return refusals(self.server)

    def forget(self) -> None:
        """Forget what was done so far."""
        self.ask("CONFIG", "RESETSTAT")

    def unused(self, user: str) -> set[str]:
        """Return what a user may do and nobody has done since `forget`."""
        done = {name.removeprefix("cmdstat_") for name in self.ask("INFO", "commandstats")}
        return granted(user) - done - (_ON_A_SERVER if self.cluster else _ON_A_CLUSTER)

    @asynccontextmanager
    async def replica(self) -> AsyncIterator[None]:
        """Let another server follow this one."""
        login = ("--masteruser", "replica", "--masterauth", access("replica")["password"])
        with starting("--replicaof", "127.0.0.1", str(self.server.port), *login):
            await eventually(lambda: self.ask("INFO", "replication")["connected_slaves"])
            yield


@asynccontextmanager
async def guarded_server(folder: Path, *, cluster: bool = False) -> AsyncIterator[GuardedServer]:
    """Yield a server on which every user of the file has a password."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(reserve())) if cluster else ()
    with starting("--aclfile", with_passwords(USERS, folder), *options) as server:
        guarded = GuardedServer(server, cluster=cluster)
        if cluster:
            guarded.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
            await eventually(lambda: "cluster_state:ok" in guarded.ask("CLUSTER", "INFO"))
        yield guarded
