"""The operations ports that processes on this machine have by these settings, and how they are asked."""

from collections.abc import Iterator
from typing import NamedTuple

import aiohttp

from config.settings import Settings

TIMEOUT = aiohttp.ClientTimeout(total=2)

_PORTS = 65_536
_ANYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - what is compared, not what is listened on


class OpsPort(NamedTuple):
    """A port, and the child of `up` that has it unless another process was there before."""

    name: str
    port: int
    url: str


def ingress_names(settings: Settings) -> list[str]:
    """Return what the ingress processes are called."""
    number = settings.ingress.processes
    return ["ingress"] if number == 1 else [f"ingress-{one + 1}" for one in range(number)]


def ops_ports(settings: Settings) -> Iterator[OpsPort]:
    """Yield those of each ingress, of the worker, the console and the forwards; none where the system chooses them."""
    ops = settings.ops
    for offset, name in enumerate([*ingress_names(settings), "worker", "console", "forward"]):
        if name == "forward" and not settings.forward:
            continue
        if ops.port and ops.port + offset < _PORTS:
            yield OpsPort(name, ops.port + offset, f"http://{addressable(ops.host)}:{ops.port + offset}")


def addressable(host: str) -> str:
    """Return a host as it stands in a URL; one that means every address as the loopback."""
    if host in _ANYWHERE:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
