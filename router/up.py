"""Several processes under one parent: `up` (server, ingress, workers and console) and `ingress --processes N`."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from config.settings import Settings
from router.embedded.access import open_store
from router.events.catalogue import Catalogue
from router.ingress.service import bind
from router.ingress.signing_secrets import make_secrets
from router.process.ops_ports import ingress_names, ops_ports
from router.process.reload import Reload
from router.process.signals import PARENT_FD, install_reload, install_stop
from router.process.supervisor import ChildSpec, Supervisor
from router.store.health.guard import refuse_unsafe
from router.store.health.rights import Role
from router.tasks.ending import end
from router.telemetry.identity import process_name

log = structlog.get_logger("up")

_MARGIN = 5.0
FORWARD = "forward"
"""The child that posts events to URLs, which is there once there is a forward."""


def supervised() -> bool:
    """Whether this process is a child of one of the functions here."""
    return PARENT_FD in os.environ


async def run_up(settings: Settings, modules: Sequence[str], stop: asyncio.Event) -> int:
    """Run the embedded server (if that is the store), ingress, the workers of `modules`, the console and the forwards.

    Without modules there is no worker. Returns the exit code.
    """
    for file in make_secrets(settings, Catalogue.for_settings(settings).publishers):
        log.info("secret_made", publisher=file.name, file=str(file))
    with _ingress_port(settings) as port:
        children = [*_ingress_children(settings, port), _child(settings, "console", "console")]
        if modules:  # it keeps its name when it is restarted, so it need not wait for a lease to take its work back
            children.append(_child(settings, "worker", "worker", "--name", process_name(), *modules))
        if settings.forward:
            children.append(_forward_child(settings))
        return await _supervise(settings, children, stop, "ingress", "worker", forwards=True)


async def run_ingress_processes(settings: Settings, processes: int, stop: asyncio.Event) -> int:
    """Run several ingress processes that share the port; return the exit code."""
    Catalogue.for_settings(settings)  # what is wrong with it is said here, and not by every child
    limits = settings.ingress.model_copy(update={"processes": processes})
    several = settings.model_copy(update={"ingress": limits})
    with _ingress_port(several) as port:
        return await _supervise(settings, _ingress_children(several, port), stop, "ingress")


async def _supervise(
    settings: Settings, children: Sequence[ChildSpec], stop: asyncio.Event, *roles: Role, forwards: bool = False
) -> int:
    longest = max(settings.ingress.shutdown_timeout, settings.workers.shutdown_timeout)
    supervisor = Supervisor(children, stop_timeout=longest + _MARGIN)
    reload = asyncio.Event()
    async with open_store(settings) as store:
        install_stop(stop, force=supervisor.kill)
        install_reload(reload.set, stop)
        await refuse_unsafe(store, settings, *roles)
        up_reload = UpReload(supervisor, Catalogue.for_settings(settings), forwards=forwards)
        reloading = asyncio.create_task(Reload(settings, up_reload).run(reload))
        try:
            return await supervisor.run(stop)
        finally:
            await end([reloading])


@contextmanager
def _ingress_port(settings: Settings) -> Iterator[int]:
    """Yield the port of all ingress processes; where they share any free one, it is chosen and held here.

    Raises ConfigError if somebody has the port: processes that share it would not notice a stranger's.
    """
    any_port = settings.ingress.processes > 1 and settings.ingress.port == 0
    with bind(settings.ingress, reuse_port=any_port) as held:
        if any_port:
            yield int(held.getsockname()[1])
            return
    yield settings.ingress.port


def _ingress_children(settings: Settings, port: int) -> list[ChildSpec]:
    shared = {"ROUTER_INGRESS__PROCESSES": str(settings.ingress.processes), "ROUTER_INGRESS__PORT": str(port)}
    return [_child(settings, name, "ingress", **shared) for name in ingress_names(settings)]


def _child(settings: Settings, name: str, *arguments: str, **env: str) -> ChildSpec:
    """Return a child that runs a command, with an operations port of its own."""
    port = next((found.port for found in ops_ports(settings) if found.name == name), 0)
    # -P: a folder of the user's named `config` or `workers` must not hide our packages.
    command = (sys.executable, "-P", "-m", "router.cli.main", *arguments)
    return ChildSpec(name, command, {"ROUTER_OPS__PORT": str(port), **env})


def _forward_child(settings: Settings) -> ChildSpec:
    return _child(settings, FORWARD, FORWARD, "--name", f"{process_name()}-{FORWARD}")


class UpReload:
    """Has all but the console read again; starts all but the ingresses again where the publishers changed.

    Those read publishers at start. forwards: whether the first forward starts a process for them.
    """

    def __init__(self, supervisor: Supervisor, catalogue: Catalogue, *, forwards: bool = False) -> None:
        self._supervisor = supervisor
        self._publishers = dict(catalogue.publishers)
        self._forwards = forwards

    def __call__(self, settings: Settings, catalogue: Catalogue) -> None:
        """Hand on; raises ConfigError where the secret of a new publisher cannot be written."""
        for file in make_secrets(settings, set(catalogue.publishers) - set(self._publishers)):
            log.info("secret_made", publisher=file.name, file=str(file))
        publishers = dict(catalogue.publishers)
        same = self._publishers == publishers
        self._supervisor.send(signal.SIGHUP, lambda name: name.startswith("ingress") or (same and name != "console"))
        if self._forwards and settings.forward:
            self._supervisor.add(_forward_child(settings))
        if not same:
            log.info("restarting_for_publishers", added=sorted(publishers.keys() - self._publishers.keys()))
            self._supervisor.send(signal.SIGTERM, lambda name: not name.startswith("ingress"))
            self._publishers = publishers
